"""The only door to Valkey: keys, operations as values, the executors that run them."""
