"""The Protocols of plug-ins, and the values that their methods exchange."""
