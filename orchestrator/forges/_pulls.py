"""The pull requests of GitHub's API and of the APIs that follow it."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from orchestrator.forges._http import Link
from orchestrator.interfaces.forge import ChangeRequest


class _Repository(BaseModel):
    model_config = ConfigDict(frozen=True)

    full_name: str


class _Side(BaseModel):
    model_config = ConfigDict(frozen=True)

    ref: str
    #: The forge returns null for a deleted fork.
    repo: _Repository | None


class Pull(BaseModel):
    """A pull request; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True)

    html_url: Link
    head: _Side
    base: _Side


def creation(asked: ChangeRequest) -> dict[str, str]:
    """Return the body that creates a pull request."""
    return {
        "title": asked.title,
        "body": asked.body,
        "head": asked.branch,
        "base": asked.base_branch,
    }


def find(pulls: Iterable[Pull], asked: ChangeRequest) -> str | None:
    """Return the URL of the request for these branches; requests from forks do not count."""
    return next(
        (
            pull.html_url
            for pull in pulls
            if (pull.head.ref, pull.base.ref) == (asked.branch, asked.base_branch)
            and pull.head.repo == pull.base.repo
        ),
        None,
    )
