"""The real topology: hosts as containers of our own image, which share Valkey and a git remote."""
