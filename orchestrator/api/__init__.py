"""The HTTP API: parses requests and renders records; it contains no domain rules."""
