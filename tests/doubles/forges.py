"""Doubles of GitHub's, GitLab's and Gitea's APIs on loopback: requests opened, listed, refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from tests.doubles.loopback import LoopbackServer

TOKEN = "forge-token-of-tests"
BRANCHES = ("main", "release/1", "agent/a-1", "agent/a-2")


@dataclass(frozen=True)
class Call:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: dict[str, str]

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}


@dataclass
class Opened:
    """A pull or merge request the double holds; `repository` is where its branch is."""

    number: int
    repository: str
    branch: str
    base: str
    title: str = ""
    body: str = ""
    state: str = "open"

    def joins(self, branch: str | None, base: str | None) -> bool:
        return (self.branch, self.base) == (branch, base)


Answer = tuple[int, object]


@dataclass
class Api:
    """One forge: what it holds, and how it answers."""

    prefix: str
    repository: str
    url: str = ""
    held: list[Opened] = field(default_factory=list)

    def hold(self, branch: str, base: str, **more: str) -> Opened:
        """Hold one more request, of the repository itself where nothing else is said."""
        number = len(self.held) + 1
        self.held.append(
            Opened(number, **{"repository": self.repository, **more}, branch=branch, base=base)
        )
        return self.held[-1]

    def link(self, opened: Opened) -> str:
        return f"{self.url}/{self.repository}/pulls/{opened.number}"

    def is_open(self, branch: str, base: str) -> bool:
        return any(
            one.joins(branch, base) and one.state == "open" and one.repository == self.repository
            for one in self.held
        )

    def answer(self, call: Call) -> Answer:
        raise NotImplementedError


class Pulls(Api):
    """What GitHub and Gitea have in common."""

    def show(self, opened: Opened) -> dict:
        return {
            "number": opened.number,
            "html_url": self.link(opened),
            "title": opened.title,
            "head": {"ref": opened.branch, "repo": {"full_name": opened.repository}},
            "base": {"ref": opened.base, "repo": {"full_name": self.repository}},
        }

    def create(self, body: dict[str, str]) -> Answer:
        opened = self.hold(body["head"], body["base"], title=body["title"], body=body["body"])
        return 201, self.show(opened)

    def shown(self, state: str) -> list[dict]:
        # Newest first, as both do.
        return [self.show(one) for one in reversed(self.held) if one.state == state]


class GitHub(Pulls):
    def answer(self, call: Call) -> Answer:
        if call.headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {"message": "Bad credentials"}
        if call.path != f"{self.prefix}/repos/{self.repository}/pulls":
            return 404, {"message": "Not Found"}
        if call.method == "GET":
            return 200, self.listed(call.query)
        if fault := self.fault(call.body):
            return 422, {"message": "Validation Failed", "errors": [fault]}
        return self.create(call.body)

    def listed(self, query: dict[str, str]) -> list[dict]:
        owner, _, branch = query["head"].partition(":")
        found = [
            one
            for one in self.shown(query["state"])
            if one["base"]["ref"] == query["base"]
            # Without an owner the filter counts for nothing.
            and (not branch or one["head"]["ref"] == branch)
            and (not branch or one["head"]["repo"]["full_name"].startswith(f"{owner}/"))
        ]
        return found[:30]

    def fault(self, body: dict[str, str]) -> dict[str, str]:
        if len(body["title"]) > 256:
            return {"field": "title", "code": "custom", "message": "title is too long"}
        if body["head"] not in BRANCHES:
            return {"field": "head", "code": "invalid"}
        if self.is_open(body["head"], body["base"]):
            owner = self.repository.partition("/")[0]
            said = f"A pull request already exists for {owner}:{body['head']}."
            return {"resource": "PullRequest", "code": "custom", "message": said}
        return {}


class Gitea(Pulls):
    def answer(self, call: Call) -> Answer:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() not in ("token", "bearer") or token != TOKEN:
            return 401, {"message": "invalid username, password or token"}
        if call.path != f"{self.prefix}/repos/{self.repository}/pulls":
            return 404, {"message": "The target couldn't be found.", "errors": []}
        return (200, self.listed(call.query)) if call.method == "GET" else self.create(call.body)

    def listed(self, query: dict[str, str]) -> list[dict]:
        # No filter by branch; never more than 50 a page.
        length = min(int(query.get("limit", 30)), 50)
        start = (int(query.get("page", 1)) - 1) * length
        return self.shown(query["state"])[start : start + length]

    def create(self, body: dict[str, str]) -> Answer:
        if body["head"] not in BRANCHES:
            return 404, {"message": "The target couldn't be found."}
        if len(body["title"]) > 255:
            return 422, {"message": "[Title]: MaxSize"}
        if self.is_open(body["head"], body["base"]):
            said = "pull request already exists for these targets [id: 1, issue_id: 1]"
            return 409, {"message": said}
        return super().create(body)


class GitLab(Api):
    def show(self, opened: Opened) -> dict:
        return {
            "iid": opened.number,
            "web_url": self.link(opened),
            "source_project_id": 1 if opened.repository == self.repository else 2,
            "target_project_id": 1,
            "draft": False,
        }

    def answer(self, call: Call) -> Answer:
        given = call.headers.get("authorization"), call.headers.get("private-token")
        if given not in ((f"Bearer {TOKEN}", None), (None, TOKEN)):
            return 401, {"message": "401 Unauthorized"}
        project = self.repository.replace("/", "%2F")
        if call.path != f"{self.prefix}/projects/{project}/merge_requests":
            return 404, {"message": "404 Project Not Found"}
        return self.listed(call.query) if call.method == "GET" else self.create(call.body)

    def listed(self, query: dict[str, str]) -> Answer:
        wanted = query.get("source_branch"), query.get("target_branch")
        state = query["state"].removesuffix("ed")
        return 200, [
            self.show(one)
            for one in reversed(self.held)
            if one.joins(*wanted) and one.state == state
        ]

    def create(self, body: dict[str, str]) -> Answer:
        branches = body["source_branch"], body["target_branch"]
        if branches[0] not in BRANCHES:
            return 400, {"message": {"source_branch": ["does not exist"]}}
        if len(body["title"]) > 255:
            return 400, {"message": {"title": ["is too long (maximum is 255 characters)"]}}
        if self.is_open(*branches):
            said = "Another open merge request already exists for this source branch: !1"
            return 409, {"message": [said]}
        return 201, self.show(self.hold(*branches, title=body["title"], body=body["description"]))


APIS: dict[str, Callable[[], Api]] = {
    "github": lambda: GitHub("/api/v3", "acme/widget"),
    "gitlab": lambda: GitLab("/api/v4", "acme/tools/widget"),
    "gitea": lambda: Gitea("/api/v1", "acme/widget"),
}


#: What the double does instead of answering, once each: (status, headers, body), or a word.
#: `hang`: nothing, until the end. `cut`: half an answer. `lose`: it does what is asked and says
#: nothing. `drip`: an answer without end, a byte at a time.
Instead = tuple[int, dict[str, str], str] | str


class Double(LoopbackServer):
    """A forge on a port of its own; `repository` is the address it is known by."""

    def __init__(self, name: str) -> None:
        super().__init__(Handler)
        self.api = APIS[name]()
        self.api.url = self.url
        self.repository = f"{self.url}/{self.api.repository}.git"
        self.calls: list[Call] = []
        self.instead: list[Instead] = []
        self.connections = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Double

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            # A client that has heard enough leaves in the middle of an answer.
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = json.loads(self.rfile.read(length) or "{}")
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = Call(self.command, self.path, headers, body)
        self.server.calls.append(call)
        instead = self.server.instead.pop(0) if self.server.instead else None
        if isinstance(instead, tuple):
            status, more, text = instead
            self._send(status, {"content-type": "text/html", **more}, text.encode())
            return
        if instead == "hang":
            self.server.ending.wait(30)
        if instead == "drip":
            self._drip()
        if instead in ("hang", "drip"):
            self.close_connection = True
            return
        status, shown = self.server.api.answer(call)
        if instead == "lose":
            self.close_connection = True
            return
        text = json.dumps(shown).encode()
        self._send(status, {"content-type": "application/json"}, text, cut=instead == "cut")

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "1000000")
        self.end_headers()
        while not self.server.ending.wait(0.01):
            self.wfile.write(b" ")
            self.wfile.flush()

    def _send(
        self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut
