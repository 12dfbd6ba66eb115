"""The model providers that the egress proxy reaches: one file each."""
