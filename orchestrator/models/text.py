"""Text from outside in the form that can be stored and sent."""

from __future__ import annotations


def storable(text: str) -> str:
    """Return a text with `?` in place of each half of a surrogate pair.

    JSON from JavaScript can contain such a half, and so can bytes of a command line or a path that
    are not UTF-8. It has no UTF-8 form, so a text with it can be neither stored nor sent.
    """
    return text.encode(errors="replace").decode()
