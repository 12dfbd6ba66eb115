"""The output of commands: text, tables, exit codes."""
