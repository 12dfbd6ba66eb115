"""The Protocols that plug-ins fulfil, and the values that cross them."""
