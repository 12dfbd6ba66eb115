"""String literals that continue in the next literal, which a program joins when it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.secretscan.views import Edit

# The text between two literals: operators, nothing, line ends, comments; `t += "…"`;
# `.append("…")`.
_JOINT = re.compile(
    rb"""
    ["'`](?:
        \)?(?=[\s+.|&~<^\\\#/])(?:\s|\\\r?\n|(?:\#|//)[^\n"'`]{0,100}\n){0,100}+
            (?:(?:\+\+?|\.\.?|\|\||[&~^]|<>|<<)
             (?:\s|\\\r?\n|(?:\#|//)[^\n"'`]{0,100}\n){0,100}+\(?)?[rRbBuUfFL]{0,2}["'`]
       |;?\s{1,40}+\$?\w{1,40}+\s?(?:\+=|\.=|<<)\s{0,4}["'`]
       |\)\s{0,40}+\.(?:append|concat|push|add|write|push_str)\(\s{0,8}["'`]
       |(?<=[\w+/=-].)["'`](?=[\w+/=-])
    )
    |\\\r?\n
    """,
    re.VERBOSE,
)
# A literal in a template: `${"…"}`, `{'…'}`.
_IN_TEMPLATE = re.compile(rb"""\{\s{0,4}(["'`])([^"'`{}\n]{1,200})\1\s{0,4}\}""")
# The call that joins a list, with the literal between its parts, if it names one.
_LIST_AFTER = re.compile(
    rb"\((?:(?<=[jJ]oin\()|(?<=(?i:concat)\()|(?<=(?i:concat_ws)\()|(?<=implode\()|(?<=paste0\()"
    rb"|(?<=strcat\())"
)
_NAME_BEFORE = re.compile(rb"""(?:(["'`])([^"'`\n]{0,8})\1\s{0,4}\.)?(?:[\w.]*\.)?\w+$""")
_OPENING = re.compile(rb"""\s{0,100}+(?:\[\]string\{|[\[({])?\s{0,100}+(?=["'`])""")
_LIST_WORDS = (b"oin(", b"oncat", b"ONCAT", b"implode(", b"paste0(", b"strcat(")
_LIST_BEFORE = re.compile(rb"""[\]})]\s{0,40}\.join\(\s{0,4}(["'`])([^"'`\n]{0,8})\1\s{0,4}\)""")
_COMMA = re.compile(rb"""["'`]\s{0,100}+,\s{0,100}+[rRbBuUfFL]{0,2}["'`]""")
#: The bytes of a list that are read before or after the call that joins it.
_LIST_BYTES = 4096
_NAME_BYTES = 40


def joints(text: bytes) -> list[Edit]:
    """Return the text between literals that are one, as edits in order."""
    edits = [Edit(*joint.span()) for joint in _JOINT.finditer(text)]
    if b"{" in text:
        for one in _IN_TEMPLATE.finditer(text):
            before = text[max(one.start() - 6, 0) : one.start()]
            # A slice of Go is no template.
            if before == b"string":
                continue
            edits += [
                Edit(one.start() - before.endswith(b"$"), one.start(2)),
                Edit(one.end(2), one.end()),
            ]
    if any(word in text for word in _LIST_WORDS):
        edits += _commas(text)
    return in_order(edits)


def in_order(edits: list[Edit]) -> list[Edit]:
    """Return edits by their position, without those that overlap an earlier one."""
    kept: list[Edit] = []
    for edit in sorted(edits):
        if not kept or edit.start >= kept[-1].end:
            kept.append(edit)
    return kept


def _commas(text: bytes) -> Iterator[Edit]:
    last = 0
    for call in _LIST_AFTER.finditer(text):
        start = max(call.end(), last)
        named = _NAME_BEFORE.search(text, max(start - _NAME_BYTES, 0), call.start())
        if named is None or b"ath." in named[0]:
            continue
        last = _closed(text, start)
        opening = _OPENING.match(text, start, last)
        if opening is not None:
            # The name of the call is between its result and the assigned name.
            yield Edit(named.start(), opening.end())
        yield from _commas_between(text, start, last, named[2] or b"")
    last = 0
    for call in _LIST_BEFORE.finditer(text):
        low = max(last, call.start() - _LIST_BYTES)
        start = max(low, *(text.rfind(sign, low, call.start()) for sign in (b"[", b"{", b"(")))
        last = call.start()
        opening = _OPENING.match(text, start, last)
        if opening is not None:
            yield Edit(*opening.span())
        yield from _commas_between(text, start, last, call[2])


def _closed(text: bytes, start: int) -> int:
    ends = (text.find(sign, start, start + _LIST_BYTES) for sign in (b")", b"]", b"}"))
    # Go's `[]string{` opens and closes a bracket at once.
    return min((end for end in ends if end > start + 1), default=start + _LIST_BYTES)


def _commas_between(text: bytes, start: int, end: int, separator: bytes) -> Iterator[Edit]:
    for comma in _COMMA.finditer(text, start, end):
        yield Edit(*comma.span(), separator)
