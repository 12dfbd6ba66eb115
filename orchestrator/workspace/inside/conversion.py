"""Applies git's own conversions (line ends, `ident`, encodings) to a file, by the base's rules.

External filters never run. A conversion applies as far as it keeps a small change small: if the
base contains a file that its own attributes would rewrite, its untouched lines stay unchanged.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence

from .git import GitError, Repository, blob_id

_ATTRIBUTES = ("text", "eol", "crlf", "ident", "working-tree-encoding")
_FILES = (b"100644", b"100755")
_NOTHING = frozenset({b"unspecified", b"unset"})
#: A longer stretch of changed lines is stored unchanged.
_COMPARED_LINES = 5000


class Conversion:
    """The conversions of one base tree; all captures in a repository have the same base."""

    def __init__(self, repository: Repository, base: Mapping[bytes, tuple[bytes, bytes]]) -> None:
        self._repository = repository
        self._base = base
        self.is_possible = any(path.rpartition(b"/")[2] == b".gitattributes" for path in base)
        self._attributes: dict[bytes, set[str]] = {}
        self._checkouts: dict[bytes, bytes] = {}
        self._blobs = frozenset(blob for _, blob in base.values()) if self.is_possible else ()
        #: Contains the base's .gitattributes only, because git reads the attributes from this
        #: folder.
        self._rules = os.path.join(repository.path, b"rules")
        self._env = {b"GIT_WORK_TREE": self._rules}

    def prepare(self, paths: Sequence[bytes]) -> None:
        """Query the attributes of these files, whose names contain no line end."""
        self._lay_out_rules()
        output = self._run(
            *("check-attr", "--stdin", "-z", *_ATTRIBUTES),
            stdin=b"".join(path + b"\0" for path in paths),
        )
        fields = output.split(b"\0")
        self._attributes = {}
        for path, name, value in zip(fields[::3], fields[1::3], fields[2::3]):
            if value not in _NOTHING:
                self._attributes.setdefault(path, set()).add(name.decode())
        asked = [
            (path, self._base[path][1])
            for path in self._attributes
            if path in self._base and self._base[path][0] in _FILES
        ]
        # git prints the sizes before the conversion. Therefore a separator that is no name, and
        # that no content can contain, is between any two.
        mark = os.urandom(20).hex().encode()
        lines = b"".join(b"%s %s\n%s x\n" % (blob, path, mark) for path, blob in asked)
        output = self._run("cat-file", "--batch", "--filters", stdin=lines)
        parts = output.split(b"\n%s missing\n" % mark)
        self._checkouts = {path: part.partition(b"\n")[2] for (path, _), part in zip(asked, parts)}

    def stored(self, path: bytes, data: bytes, before: bytes | None) -> bytes | None:
        """Return the blob to store for this content; None for the unconverted content.

        `before` is the base's blob at the path. A content that cannot be converted is stored
        unchanged.
        """
        attributes = self._attributes.get(path)
        if not attributes:
            return None
        if before is None:
            # Moved content keeps its blob, in any form that the base has.
            is_moved = blob_id(data) in self._blobs
            return None if is_moved else self._cleaned_if_needed(path, data)
        checkout = self._checkouts[path]
        if checkout == data:
            return before
        if not (_may_convert(attributes, data) or _may_convert(attributes, checkout)):
            return None
        if self._cleaned(path, checkout) == before:
            return self._cleaned(path, data)
        original = self._repository.run("cat-file", "blob", before)
        return self._repository.write_blob(_spliced(original, checkout, data))

    def _cleaned_if_needed(self, path: bytes, data: bytes) -> bytes | None:
        is_needed = _may_convert(self._attributes[path], data)
        return self._cleaned(path, data) if is_needed else None

    def _cleaned(self, path: bytes, data: bytes) -> bytes | None:
        try:
            return self._run("hash-object", "-w", "--stdin", "--path", path, stdin=data).strip()
        except GitError:
            return None

    def _run(self, *arguments: str | bytes, stdin: bytes) -> bytes:
        return self._repository.run(*arguments, stdin=stdin, env=self._env, cwd=self._rules)

    def _lay_out_rules(self) -> None:
        if os.path.exists(self._rules):
            return
        os.mkdir(self._rules)
        for path, (mode, blob) in self._base.items():
            if path.rpartition(b"/")[2] == b".gitattributes" and mode in _FILES:
                target = os.path.join(self._rules, path)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target, "wb") as file:
                    file.write(self._repository.run("cat-file", "blob", blob))


def _may_convert(attributes: Collection[str], data: bytes) -> bool:
    """Return whether a conversion could alter this content when it is stored."""
    if "working-tree-encoding" in attributes:
        return True
    return b"\r" in data or ("ident" in attributes and b"$Id" in data)


def _spliced(original: bytes, checkout: bytes, data: bytes) -> bytes:
    """Return the new content, with the original's form of every line that is as checked out."""
    stored, before, after = (text.split(b"\n") for text in (original, checkout, data))
    if len(stored) != len(before):
        return data
    head = 0
    while head < min(len(before), len(after)) and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    middle = after[head : len(after) - tail]
    old = before[head : len(before) - tail]
    if len(middle) + len(old) <= _COMPARED_LINES:
        from difflib import SequenceMatcher  # noqa: PLC0415 - slow to import, and seldom needed

        for start, new_start, size in SequenceMatcher(
            None, old, middle, autojunk=False
        ).get_matching_blocks():
            middle[new_start : new_start + size] = stored[head + start : head + start + size]
    return b"\n".join([*stored[:head], *middle, *stored[len(stored) - tail :]])
