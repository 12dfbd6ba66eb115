"""The thin HTTP shim: requests in, records out; no rule of the domain stands here."""
