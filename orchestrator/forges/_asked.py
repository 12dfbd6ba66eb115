"""A request to a forge: the address of the repository, and texts that every forge accepts."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import quote

from orchestrator.errors import ForgeRefused
from orchestrator.interfaces.forge import ChangeRequest
from orchestrator.models.text import storable

#: The lowest limit: GitLab's and Gitea's titles have 255 characters, GitHub's bodies 65,536.
TITLE_CHARACTERS = 250
BODY_CHARACTERS = 60_000

# A login in an https:// address would be a token (names.py refuses it); in ssh it is a user.
_URL = re.compile(
    r"(?:(?P<scheme>https?)://|ssh://(?:[\w.-]+@)?)"
    r"(?P<host>[\w.-]+|\[[\da-fA-F:]+\])(?P<port>:\d+)?/(?P<path>[^\s?#]+)",
    re.ASCII,
)
_SCP_LIKE = re.compile(r"(?:[\w.-]+@)?(?P<host>[\w.-]+):(?!//)(?P<path>[^\s?#]+)", re.ASCII)
_OWNER_AND_NAME = 2


@dataclass(frozen=True)
class Address:
    """A repository's web server, and its path on that server; the path is quoted for URLs."""

    host: str
    origin: str
    path: tuple[str, ...]

    @property
    def owner_and_name(self) -> str:
        """The owner and the name, on a forge without nested groups.

        Raises:
            ForgeRefused: the path has more or fewer parts.
        """
        if len(self.path) != _OWNER_AND_NAME:
            msg = f"{'/'.join(self.path)} on {self.host} is not the owner and name of a repository."
            raise ForgeRefused(msg)
        return "/".join(self.path)


def parse_address(repository: str) -> Address:
    """Parse the address of a repository: https://, ssh:// or user@host:path.

    Raises:
        ForgeRefused: it has none of these forms, or its path is not plain.
    """
    match = _URL.fullmatch(repository)
    found = match or _SCP_LIKE.fullmatch(repository)
    if found is None:
        msg = "The repository is on no forge: its address is none of https://, ssh://, host:path."
        raise ForgeRefused(msg)
    host = found["host"].lower()
    path = tuple(found["path"].strip("/").removesuffix(".git").split("/"))
    if not {"", ".", ".."}.isdisjoint(path):
        msg = f"The repository on {host} has a path that is none of a forge's."
        raise ForgeRefused(msg)
    origin = f"https://{host}"
    if match and match["scheme"]:
        # The port of ssh is not the port of the web server.
        origin = f"{match['scheme']}://{host}{match['port'] or ''}"
    return Address(host, origin, tuple(quote(part, safe="") for part in path))


def fitted(asked: ChangeRequest) -> ChangeRequest:
    """Return the request with a title of one line and a body, both cut to the limits."""
    title = " ".join("".join(c if c.isprintable() else " " for c in asked.title).split())
    # A lone surrogate or a NUL causes an error in the forge's database, and GitLab removes `\r`.
    body = storable(asked.body).replace("\0", "").replace("\r", "")
    return replace(
        asked, title=title[:TITLE_CHARACTERS] or asked.branch, body=body[:BODY_CHARACTERS]
    )
