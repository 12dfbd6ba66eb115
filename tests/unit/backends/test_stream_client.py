"""The client of programs that print JSON lines: configuration, pieces, refusals and the end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backends import _stream_client

CLIENT = Path(_stream_client.__file__)
PIECE = {"type": "message", "role": "assistant", "delta": True}


@pytest.fixture
def start(tmp_path):
    def begin(program: str, **more: Any) -> subprocess.Popen[bytes]:
        job = {
            "argv": [sys.executable, "-c", program],
            "prompt": "Do it.",
            "files": {},
            "refused": "",
            **more,
        }
        client = subprocess.Popen(
            (sys.executable, "-I", "-S", str(CLIENT)),
            env={"HOME": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert client.stdin is not None
        client.stdin.write(json.dumps(job).encode())
        client.stdin.close()
        client.stdin = None
        return client

    return begin


def ended(client: subprocess.Popen[bytes]) -> tuple[int, list[Any], bytes]:
    out, err = client.communicate(timeout=120)
    return client.returncode, [json.loads(line) for line in out.splitlines()], err


def test_pieces_of_a_message_are_joined_and_other_lines_are_unchanged(start):
    printed = [
        *({**PIECE, "content": text} for text in ("One ", "text.")),
        {"type": "tool_use"},
        {**PIECE, "content": "Two."},
    ]
    code, lines, _ = ended(start(f"import json\nfor one in {printed!r}: print(json.dumps(one))"))
    assert code == 0
    assert lines == [
        {"type": "message", "role": "assistant", "content": "One text."},
        {"type": "tool_use"},
        {"type": "message", "role": "assistant", "content": "Two."},
        {"type": "end", "code": 0},
    ]


def test_the_prompt_and_the_files_reach_the_program(start, tmp_path):
    program = "import sys, json; print(json.dumps({'type': sys.stdin.read()})); sys.exit(3)"
    code, lines, _ = ended(start(program, files={".x/settings.json": "{}"}))
    assert (code, lines) == (3, [{"type": "Do it."}, {"type": "end", "code": 3}])
    assert (tmp_path / ".x" / "settings.json").read_text() == "{}"


def test_a_program_that_never_reads_its_prompt_is_no_error_of_the_client(start):
    code, lines, err = ended(start("import os; os.close(0)", prompt="x" * 2**20))
    assert (code, lines) == (0, [{"type": "end", "code": 0}]), err


def test_a_program_that_would_wait_for_its_provider_is_ended(start):
    program = (
        "import sys, time; print('fine', file=sys.stderr);"
        " print('refused: slow down', file=sys.stderr); time.sleep(600)"
    )
    code, lines, err = ended(start(program, refused="refused: (.*)"))
    assert lines[0] == {"type": "error", "error": {"data": {"message": "slow down"}}}
    assert code == 128 + signal.SIGTERM
    assert err.splitlines() == [b"fine", b"refused: slow down"]


def test_a_sigterm_ends_the_program_too(start):
    client = start("import time; print('{}', flush=True); time.sleep(600)")
    assert client.stdout is not None
    assert client.stdout.readline() == b"{}\n"
    client.terminate()
    code, lines, _ = ended(client)
    assert code == 128 + signal.SIGTERM
    assert lines == [{"type": "end", "code": code}]
