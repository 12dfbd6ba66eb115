"""Names of container images, and the patterns of the images that repositories may name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

#: The registry of a name without one, and the folder of a name without one in it.
_HUB, _OFFICIAL = "docker.io", "library"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_REGISTRY = re.compile(rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PATTERN = re.compile(r"[A-Za-z0-9*][A-Za-z0-9._/:@*-]*")


@dataclass(frozen=True)
class ImageName:
    """A full name: with it, an engine cannot take a name for the start of an image's id."""

    repository: str
    tag: str
    #: If it is given, the engine ignores the tag.
    digest: str = ""

    def __str__(self) -> str:
        """Return the name for the engine."""
        return (
            f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"
        )


def parse_image(text: str) -> ImageName:
    """Parse the name of an image, such as `python:3.12` or `registry.example.org/ci@sha256:…`.

    Raises:
        ValueError: no image can have this name.
    """
    name, at, digest = text.partition("@")
    name, tag = _split_tag(name)
    registry, path = _split_registry(name)
    is_valid = (
        _REGISTRY.fullmatch(registry)
        and _PATH.fullmatch(path)
        and _TAG.fullmatch(tag or "latest")
        and (not at or _DIGEST.fullmatch(digest))
    )
    if not is_valid or tag == "":
        msg = "must be the name of an image, such as registry.example.org/team/ci:1.2"
        raise ValueError(msg)
    return ImageName(f"{registry}/{path}", tag or "latest", digest)


def check_pattern(pattern: str) -> str:
    """Return a pattern of names.

    Raises:
        ValueError: it is not one.
    """
    if not _PATTERN.fullmatch(pattern) or "***" in pattern:
        msg = f"{pattern} must be the name of an image, in which * stands for a part of it"
        raise ValueError(msg)
    if pattern == "*":
        msg = "* would allow only the official images of Docker Hub: write ** for every image"
        raise ValueError(msg)
    return pattern


def is_allowed(name: str, patterns: tuple[str, ...]) -> bool:
    """Return whether a pattern matches a name; both are completed as an engine completes names.

    `*` matches any text without a slash, `**` any text. A pattern without a tag matches every tag
    and digest. A pattern with a tag matches no digest, because an engine then ignores the tag.
    """
    try:
        image = parse_image(name)
    except ValueError:
        return False
    return any(_matches(image, pattern) for pattern in patterns)


def is_same(name: str, other: str) -> bool:
    """Return whether two names are those of one image."""
    try:
        return parse_image(name) == parse_image(other)
    except ValueError:
        return False


def _matches(image: ImageName, pattern: str) -> bool:
    name, _, digest = pattern.partition("@")
    name, tag = _split_tag(name)
    if not name.startswith("**"):
        name = "/".join(_split_registry(name))
    if not _regex(name).fullmatch(image.repository):
        return False
    if digest:
        return bool(image.digest) and bool(_regex(digest).fullmatch(image.digest))
    return tag is None or (not image.digest and bool(_regex(tag).fullmatch(image.tag)))


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*{1,2})", pattern)
    stars = {"*": "[^/]*", "**": ".*"}
    return re.compile("".join(stars.get(part) or re.escape(part) for part in parts))


def _split_tag(name: str) -> tuple[str, str | None]:
    """Return the name before its tag, and the tag; a colon before a slash is that of a port."""
    head, colon, tag = name.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (name, None)


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_registry = bool(slash) and (
        "." in first or ":" in first or first == "localhost" or first != first.lower()
    )
    registry, path = (first, rest) if is_registry else (_HUB, name)
    if registry in (_HUB, f"index.{_HUB}"):
        return _HUB, path if "/" in path else f"{_OFFICIAL}/{path}"
    return registry, path
