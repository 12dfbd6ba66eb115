"""How each ecosystem runs its checks: one file each, asked in the order of their names."""
