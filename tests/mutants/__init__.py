"""Faults in copies of the sources, one at a time, and which of them no test notices."""
