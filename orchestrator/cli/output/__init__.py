"""What commands print: text, tables, exit codes."""
