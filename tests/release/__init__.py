"""The wheel and the systemd units, as an operator installs them.

Slow: a virtual environment is made, and the wheel is built and installed with its dependencies.
"""
