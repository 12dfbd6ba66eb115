"""Cheats and honest changes, as tables of files, and the gates that judge them."""
