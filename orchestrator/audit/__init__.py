"""The audit: who did what to which agent, in a chain that reveals later changes."""
