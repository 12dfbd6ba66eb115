"""What the machine takes, measured: `make bench` prints it, no test asserts it."""
