"""Pull requests on Gitea, and on Forgejo, which has the same API."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.forges._asked import fitted, parse_address
from orchestrator.forges._http import REAL_TIME, Http, Timing, create_or_find
from orchestrator.forges._pulls import Pull, creation, find
from orchestrator.interfaces.forge import ChangeRequest
from orchestrator.settings import Settings

PAGE_LENGTH = 20
MOST_PAGES = 50


class Gitea:
    """Gitea's API (docs.gitea.com/api, repository)."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def open_request(self, asked: ChangeRequest, *, token: str) -> str:
        """Open a pull request, or find the one already open; see `Forge`."""
        asked = fitted(asked)
        address = parse_address(asked.repository)
        base = self._http.base(f"{address.origin}/api/v1")
        url = f"{base}/repos/{address.owner_and_name}/pulls"

        def create() -> str:
            return self._http.post(url, token, Pull, creation(asked)).html_url

        def open_pulls() -> Iterator[Pull]:
            # The list has no filter by branch, and the look-up by branches returns closed requests.
            for page in range(1, MOST_PAGES + 1):
                query: dict[str, str | int] = {"state": "open", "limit": PAGE_LENGTH, "page": page}
                pulls = self._http.get(url, token, list[Pull], query)
                if not pulls:
                    return
                yield from pulls

        return create_or_find(create, lambda: find(open_pulls(), asked))


def build(settings: Settings, timing: Timing = REAL_TIME) -> Gitea:
    """Build the adapter."""
    return Gitea(Http(settings, timing))
