"""How an agent's output is read: lines within bounds, and which of several results counts."""
