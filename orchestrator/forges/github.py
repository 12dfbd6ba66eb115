"""Pull requests on GitHub, and on GitHub Enterprise Server at its own address."""

from __future__ import annotations

from orchestrator.forges._asked import fitted, parse_address
from orchestrator.forges._http import REAL_TIME, Http, Timing, create_or_find
from orchestrator.forges._pulls import Pull, creation, find
from orchestrator.interfaces.forge import ChangeRequest
from orchestrator.settings import Settings

HOST = "github.com"


class GitHub:
    """GitHub's REST API (docs.github.com/rest/pulls/pulls)."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def open_request(self, asked: ChangeRequest, *, token: str) -> str:
        """Open a pull request, or find the one already open; see `Forge`."""
        asked = fitted(asked)
        address = parse_address(asked.repository)
        derived = f"https://api.{HOST}" if address.host == HOST else f"{address.origin}/api/v3"
        url = f"{self._http.base(derived)}/repos/{address.owner_and_name}/pulls"

        def create() -> str:
            return self._http.post(url, token, Pull, creation(asked)).html_url

        def find_open() -> str | None:
            # Without the owner the filter is ignored.
            head = f"{address.path[0]}:{asked.branch}"
            query = {"state": "open", "head": head, "base": asked.base_branch}
            return find(self._http.get(url, token, list[Pull], query), asked)

        return create_or_find(create, find_open)


def build(settings: Settings, timing: Timing = REAL_TIME) -> GitHub:
    """Build the adapter."""
    return GitHub(Http(settings, timing))
