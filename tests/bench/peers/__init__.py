"""Other services beside ours, in one run on one Valkey: `make peers` installs and measures them."""
