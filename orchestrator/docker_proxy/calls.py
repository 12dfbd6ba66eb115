"""The calls of the Docker Engine API that the docker sandbox makes, and their checked form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode

from orchestrator.docker_proxy.container import SYSTEM
from orchestrator.interfaces.provider import Refused

_TARGET = re.compile(r"(?P<version>/v1\.[0-9]{1,3})?(?P<path>/[^?#]*)(?:\?(?P<query>[^#]*))?")
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}"
_CONTAINER = re.compile(rf"/containers/(?P<name>{_NAME})(?P<action>(?:/[a-z]+)?)")
_IMAGE = re.compile(r"/images/(?P<name>.+)/json")
CREATE = "POST /containers/create"

#: Each path with the one query that it may have.
_OF_THE_ENGINE: Mapping[str, Mapping[str, str]] = {"GET /_ping": {}, "GET /version": {}}
_OF_A_CONTAINER: Mapping[str, Mapping[str, str]] = {
    "GET /json": {},
    "GET /stats": {"stream": "False", "one-shot": "True"},
    "POST /attach": {"stdout": "1", "stderr": "1", "stream": "1"},
    "POST /kill": {},
    "POST /start": {},
    "POST /wait": {},
    "DELETE ": {"v": "True", "link": "False", "force": "True"},
}


@dataclass(frozen=True)
class Call:
    """An allowed call, if its container belongs to this system."""

    method: str
    version: str
    path: str
    query: Mapping[str, str]
    #: The id or name of its container; empty if it concerns none.
    container: str = ""
    #: The action on that container.
    action: str = ""

    @property
    def is_creation(self) -> bool:
        """Whether its body describes a container."""
        return f"{self.method} {self.path}" == CREATE

    def target(self, container_id: str) -> str:
        """Return the target of the call for the id of the inspected container."""
        path = f"/containers/{container_id}{self.action}" if self.container else self.path
        query = f"?{urlencode(self.query)}" if self.query else ""
        return self.version + path + query


def read_call(
    method: str, target: str, *, allows_image: Callable[[str], bool], system: str
) -> Call:
    """Read the head of a request.

    Raises:
        Refused: the docker sandbox makes no such call.
    """
    shown = f"{method} {target.partition('?')[0]}"
    if (match := _TARGET.fullmatch(target)) is None:
        msg = f"{shown} is no address of the engine's"
        raise Refused(msg)
    version, path = match["version"] or "", match["path"]
    pairs = parse_qsl(match["query"] or "", keep_blank_values=True)
    query = dict(pairs)
    line = f"{method} {path}"
    call = None
    wanted: Mapping[str, str] | None = None
    if line == CREATE:
        name = query.get("name", "")
        wanted = {"name": name} if re.fullmatch(_NAME, name) else None
    elif line == "GET /containers/json":
        label = json.dumps({"label": [f"{SYSTEM}={system}"]})
        wanted = {"limit": "-1", "all": "1", "size": "0", "trunc_cmd": "0", "filters": label}
    elif method == "GET" and (asked := _IMAGE.fullmatch(path)):
        image = unquote(asked["name"])
        path = f"/images/{quote(image, safe='/:')}/json"
        wanted = {} if allows_image(image) else None
    elif found := _CONTAINER.fullmatch(path):
        wanted = _OF_A_CONTAINER.get(f"{method} {found['action']}")
        call = Call(method, version, path, query, found["name"], found["action"])
    else:
        wanted = _OF_THE_ENGINE.get(line)
    if wanted is None:
        msg = f"{shown} is none of the sandbox's calls"
        raise Refused(msg)
    if query != wanted or len(pairs) != len(query):
        msg = f"{shown} is not called as the sandbox does: {urlencode(pairs)}"
        raise Refused(msg)
    return call or Call(method, version, path, query)
