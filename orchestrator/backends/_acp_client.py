"""Speaks the Agent Client Protocol to an agent; runs as a file with the standard library alone.

It runs beside the agent in the sandbox, gives it one prompt, allows what it asks for, and prints
what it does as JSON lines, which `acp.py` describes and reads. SIGTERM cancels the prompt.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

_VERSION = 1
_NO_SUCH_METHOD = -32601
#: How long an agent may take to end after its last response.
_END_S = 5.0
_DETAIL_LIMIT = 500
#: Of a tool's output; a line of the protocol has a limit.
_OUTPUT_LIMIT = 100_000
#: A permission for one call does not write a rule into the settings of the repository.
_ALLOWS = ("allow_once", "allow_always")
_ENDED = ("completed", "failed")


class Refused(Exception):
    """The agent answers a request with an error, or cannot do what the job requires."""


def emit(kind: str, **values: object) -> None:
    """Print one line of our own protocol."""
    sys.stdout.write(json.dumps({"type": kind, **values}) + "\n")
    sys.stdout.flush()


class Client:
    """The connection to one agent program, and the state of its session."""

    def __init__(self, agent: subprocess.Popen[bytes]) -> None:
        self._agent = agent
        self._last_id = 0
        self._text = ""
        #: Tool calls that are not printed yet, because their titles come later; id → name, title.
        self._calls: dict[str, tuple[str, str]] = {}
        self._is_replay = False
        self._session: str | None = None
        self._is_cancelled = False
        self.cost_usd: float | None = None

    def request(self, method: str, **params: object) -> dict[str, Any]:
        """Send a request, and serve the agent until its response is here.

        Raises:
            Refused: the response is an error, or the agent ends.
        """
        self._last_id += 1
        self._send(id=self._last_id, method=method, params=params)
        for message in self._messages():
            if "method" in message:
                self._serve(message)
            elif message.get("id") == self._last_id:
                if "error" in message:
                    raise Refused(_words(message["error"]))
                return _fields(message.get("result"))
        msg = f"the agent ended during {method}"
        raise Refused(msg)

    def open(self, job: dict[str, Any]) -> None:
        """Begin the job's session, or resume the one that it names."""
        client = {"name": "mosaic-orchestrator", "version": job["version"]}
        does = {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False}
        known = self.request(
            "initialize", protocolVersion=_VERSION, clientCapabilities=does, clientInfo=client
        )
        if job["auth"]:
            self.request("authenticate", methodId=job["auth"])
        given = {"cwd": str(Path.cwd()), "mcpServers": [], "_meta": job["meta"]}
        if job["session"] is None:
            opened = self.request("session/new", **given)
            self._session = str(opened.get("sessionId"))
        else:
            self._session = job["session"]
            opened = self._resume(_fields(known.get("agentCapabilities")), given)
        emit("session", id=self._session)
        self._choose(opened, "mode", job["mode"])
        self._choose(opened, "model", job["model"])
        self._choose(opened, "thought_level", job["effort"])

    def prompt(self, text: str) -> dict[str, Any]:
        """Give the agent its prompt, and return its response."""
        part = {"type": "text", "text": text}
        try:
            return self.request("session/prompt", sessionId=self._session, prompt=[part])
        finally:
            self._flush()

    def cancel(self, *_: object) -> None:
        """Cancel the prompt; a second time, or without a session, end."""
        if self._is_cancelled or self._session is None:
            self._agent.kill()
            sys.exit(128 + signal.SIGTERM)
        self._is_cancelled = True
        self._send(method="session/cancel", params={"sessionId": self._session})

    # ── the session ─────────────────────────────────────────────────────────────────────────

    def _resume(self, does: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        if "resume" in _fields(does.get("sessionCapabilities")):
            return self.request("session/resume", sessionId=self._session, **given)
        if not does.get("loadSession"):
            msg = "the agent cannot load a session"
            raise Refused(msg)
        # Meanwhile the agent tells the whole history again.
        self._is_replay = True
        loaded = self.request("session/load", sessionId=self._session, **given)
        self._is_replay = False
        return loaded

    def _choose(self, opened: dict[str, Any], category: str, value: str | None) -> None:
        """Set the mode, the model or the effort that the job names."""
        if value is None:
            return
        named = {"sessionId": self._session}
        for option in opened.get("configOptions") or ():
            if category in (option.get("category"), option.get("id")):
                self.request(
                    "session/set_config_option", **named, configId=option["id"], value=value
                )
                return
        if category == "mode" and opened.get("modes"):
            self.request("session/set_mode", **named, modeId=value)
        elif category == "model" and opened.get("models"):
            self.request("session/set_model", **named, modelId=value)
        else:
            msg = f"the agent offers no choice of its {category.replace('_', ' ')}"
            raise Refused(msg)

    # ── messages of the agent ───────────────────────────────────────────────────────────────

    def _messages(self) -> Iterator[dict[str, Any]]:
        assert self._agent.stdout is not None  # noqa: S101 - it is a pipe
        for line in self._agent.stdout:
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                message = None
            if isinstance(message, dict):
                yield message
            elif line.strip():
                sys.stderr.write(line.decode(errors="replace"))

    def _serve(self, message: dict[str, Any]) -> None:
        method, params = message["method"], _fields(message.get("params"))
        if method == "session/update":
            if not self._is_replay:
                self._update(_fields(params.get("update")))
        elif "id" in message:
            if method == "session/request_permission":
                self._send(id=message["id"], result={"outcome": self._permit(params)})
            elif str(method).endswith("elicitation/create"):
                # Nobody can answer.
                self._send(id=message["id"], result={"action": "decline"})
            else:
                error = {"code": _NO_SUCH_METHOD, "message": f"no method {method}"}
                self._send(id=message["id"], error=error)

    def _permit(self, params: dict[str, Any]) -> dict[str, Any]:
        options = [] if self._is_cancelled else params.get("options") or []
        for kind in _ALLOWS:
            for option in options:
                if option.get("kind") == kind:
                    return {"outcome": "selected", "optionId": option.get("optionId")}
        return {"outcome": "cancelled"}

    def _update(self, update: dict[str, Any]) -> None:
        kind = update.get("sessionUpdate")
        if kind == "agent_message_chunk":
            self._text += str(_fields(update.get("content")).get("text") or "")
            return
        if kind == "usage_update":
            self.cost_usd = _fields(update.get("cost")).get("amount", self.cost_usd)
            return
        tool = str(update.get("toolCallId"))
        if kind == "tool_call":
            self._flush()
            self._calls[tool] = (str(update.get("kind") or "tool"), str(update.get("title") or ""))
        elif kind == "tool_call_update":
            if tool in self._calls and update.get("title"):
                self._calls[tool] = (self._calls[tool][0], str(update["title"]))
            self._flush()
        if kind in ("tool_call", "tool_call_update") and update.get("status") in _ENDED:
            self._flush()
            is_failed = update["status"] == "failed"
            emit("tool_done", id=tool, output=_output(update)[:_OUTPUT_LIMIT], is_failed=is_failed)

    def _flush(self) -> None:
        if self._text.strip():
            emit("message", text=self._text)
        for tool, (name, title) in self._calls.items():
            emit("tool", id=tool, name=name, detail=title[:_DETAIL_LIMIT])
        self._text = ""
        self._calls.clear()

    def _send(self, **message: object) -> None:
        assert self._agent.stdin is not None  # noqa: S101 - it is a pipe
        data = json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
        # Without a buffer, because a signal may interrupt this to send the cancellation.
        with suppress(BrokenPipeError):  # the end of its output follows, which the reader reports
            while data:
                data = data[os.write(self._agent.stdin.fileno(), data) :]


def _output(update: dict[str, Any]) -> str:
    """Return the texts of a tool call's content; diffs and terminals have none."""
    blocks = update.get("content")
    given = blocks if isinstance(blocks, list) else ()
    inner = [_fields(_fields(one).get("content")) for one in given]
    return "\n".join(str(one["text"]) for one in inner if isinstance(one.get("text"), str))


def _fields(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _words(error: object) -> str:
    fields = _fields(error)
    data = fields.get("data")
    more = _fields(data).get("details") or (data if isinstance(data, str) else "")
    return ": ".join(str(part) for part in (fields.get("message"), more) if part) or str(error)


def _run(client: Client, job: dict[str, Any]) -> int:
    try:
        client.open(job)
        response = client.prompt(job["prompt"])
    except Refused as refused:
        emit("result", ok=False, summary=str(refused), cost_usd=client.cost_usd)
        return 1
    if response.get("usage"):
        emit("usage", **_fields(response["usage"]))
    reason = str(response.get("stopReason"))
    ok = reason == "end_turn"
    summary = "" if ok else f"The agent stopped: {reason}."
    emit("result", ok=ok, summary=summary, cost_usd=client.cost_usd)
    return 0 if ok else 1


def main() -> NoReturn:
    """Run the job of standard input."""
    job = json.load(sys.stdin)
    agent = subprocess.Popen(job["argv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    client = Client(agent)
    signal.signal(signal.SIGTERM, client.cancel)
    code = _run(client, job)
    assert agent.stdin is not None  # noqa: S101 - it is a pipe
    try:
        agent.stdin.close()
        agent.wait(_END_S)
    except (BrokenPipeError, subprocess.TimeoutExpired):
        agent.kill()
    sys.exit(code)


if __name__ == "__main__":
    main()
