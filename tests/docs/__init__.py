"""The pages: what they say holds."""
