"""The life of an agent: which moves are legal, and the operations that make them."""
