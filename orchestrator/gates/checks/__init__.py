"""The kinds of checks: one file each, exporting `build(settings) -> Gate`.

A file has the name of the gate that needs more than its command's exit code (`-` written `_`);
`command` checks every other gate.
"""
