"""The one way out of a sandbox without a network: an HTTP proxy on a unix socket, per attempt."""
