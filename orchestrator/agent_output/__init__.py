"""The reading of an agent's output: lines, signals, results and usage, in bounded memory."""
