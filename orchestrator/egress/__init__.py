"""The egress proxy: an HTTP proxy on a unix socket, one for each attempt."""
