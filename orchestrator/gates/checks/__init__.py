"""The kinds of checks: one file each, exporting `build(settings) -> Gate`.

A file is named like the gate that needs more than its command's exit code (`-` written `_`); every
other gate is judged by `command`.
"""
