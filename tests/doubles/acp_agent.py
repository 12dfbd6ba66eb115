"""A double of an agent of the Agent Client Protocol: it plays what its argument says, as JSON.

`initialize`, `session` and `prompt` are the results of these requests; `updates` and `asks` are
sent within the prompt; `replay` within `session/load`. An `error` ends a request; `hangs` waits for
the cancellation. What it receives goes to standard error, one JSON line each.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def send(**message: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def update(fields: dict[str, Any]) -> None:
    send(method="session/update", params={"sessionId": "s-1", "update": fields})


def receive() -> dict[str, Any]:
    message = json.loads(sys.stdin.readline() or "null")
    if message is None:
        sys.exit(0)
    print(json.dumps(message), file=sys.stderr, flush=True)
    return dict(message)


def prompt(play: dict[str, Any]) -> dict[str, Any]:
    for fields in play.get("updates", ()):
        update(fields)
    for number, (method, params) in enumerate(play.get("asks", ())):
        send(id=f"ask-{number}", method=method, params=params)
        receive()
    if play.get("exits"):
        sys.exit(3)
    if play.get("hangs"):
        update({"sessionUpdate": "tool_call", "toolCallId": "t", "kind": "execute", "title": "x"})
        update({"sessionUpdate": "tool_call_update", "toolCallId": "t", "title": "sleep"})
        receive()
        return {"stopReason": "cancelled"}
    return dict(play.get("prompt", {"stopReason": "end_turn"}))


def main() -> None:
    play = json.loads(sys.argv[1])
    print("not of the protocol", flush=True)
    while True:
        message = receive()
        method, number = message["method"], message.get("id")
        if method in play.get("errors", {}):
            send(id=number, error=play["errors"][method])
        elif method == "initialize":
            send(id=number, result=play.get("initialize", {"protocolVersion": 1}))
        elif method == "session/prompt":
            send(id=number, result=prompt(play))
        else:
            for fields in play.get("replay", ()) if method == "session/load" else ():
                update(fields)
            send(id=number, result=play.get("session", {"sessionId": "s-1"}))


if __name__ == "__main__":
    main()
