"""Many agents while workers and Valkey are killed at random."""
