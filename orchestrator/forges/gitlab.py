"""Merge requests on GitLab, wherever it is installed."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict

from orchestrator.forges._asked import fitted, parse_address
from orchestrator.forges._http import REAL_TIME, Http, Link, Timing, create_or_find
from orchestrator.interfaces.forge import ChangeRequest
from orchestrator.settings import Settings

# GitLab would execute `/merge` or `/approve` at the start of a line with the rights of the token's
# owner.
_QUICK_ACTION = re.compile(r"^([ \t]*)/", re.MULTILINE)


class _MergeRequest(BaseModel):
    model_config = ConfigDict(frozen=True)

    web_url: Link
    source_project_id: int | None
    target_project_id: int


class GitLab:
    """GitLab's REST API (docs.gitlab.com/api/merge_requests)."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def open_request(self, asked: ChangeRequest, *, token: str) -> str:
        """Open a merge request, or find the one already open; see `Forge`."""
        asked = fitted(asked)
        address = parse_address(asked.repository)
        project = "%2F".join(address.path)
        base = self._http.base(f"{address.origin}/api/v4")
        url = f"{base}/projects/{project}/merge_requests"
        branches = {"source_branch": asked.branch, "target_branch": asked.base_branch}

        def create() -> str:
            description = _QUICK_ACTION.sub(r"\1\\/", asked.body)
            words = {"title": asked.title, "description": description}
            return self._http.post(url, token, _MergeRequest, {**branches, **words}).web_url

        def find_open() -> str | None:
            query = {"state": "opened", **branches}
            found = self._http.get(url, token, list[_MergeRequest], query)
            # A request from a fork has only the branch's name.
            own = (one for one in found if one.source_project_id == one.target_project_id)
            return next((one.web_url for one in own), None)

        return create_or_find(create, find_open)


def build(settings: Settings, timing: Timing = REAL_TIME) -> GitLab:
    """Build the adapter."""
    return GitLab(Http(settings, timing))
