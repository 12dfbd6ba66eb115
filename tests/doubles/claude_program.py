"""A double of the Claude Code program: it prints what a test has it say.

The first work item holds `PLAY:` and, in base64, Python that may call `init`, `say`, `use`, `out`,
`result` and `keep_session`. Each call prints one event of the real stream.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

PROGRAM = """#!{python} -IS
import base64, json, os, re, signal, subprocess, sys, time, uuid

session = str(uuid.uuid4())
if "--resume" in sys.argv:
    session = sys.argv[sys.argv.index("--resume") + 1]


def out(**event):
    print(json.dumps({{"session_id": session, "uuid": str(uuid.uuid4()), **event}}), flush=True)


def init():
    out(type="system", subtype="init", cwd=os.getcwd())


def message(*blocks, usage=None, **more):
    usage = usage or {{"input_tokens": 10, "output_tokens": 5}}
    named = {{"id": "msg_" + uuid.uuid4().hex, "content": blocks, "usage": usage}}
    out(type="assistant", message=named, **more)


def say(text):
    message({{"type": "text", "text": text}})


def use(name="Edit", tool="toolu_1"):
    message({{"type": "tool_use", "id": tool, "name": name, "input": {{}}}})


def result(text="Add a line to notes.", **more):
    out(**{{"type": "result", "subtype": "success", "is_error": False, "num_turns": 1,
           "result": text, "total_cost_usd": 0.001, **more}})


def work(text="two"):
    with open("notes.txt", "a") as notes:
        notes.write(text + "\\n")


exec(base64.b64decode(re.search("PLAY:([A-Za-z0-9+/=]+)", sys.stdin.read())[1]).decode())
"""


def install(folder: Path) -> Path:
    """Write the program, and return where it is."""
    program = folder / "claude"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    return program


def item(play: str, words: str = "Write a line.") -> str:
    """Return a work item that has the program play this."""
    return f"{words}\nPLAY:{base64.b64encode(play.encode()).decode()}"
