"""Whatever happens to an agent's output, reading it is no error, and a result in it is found.

Recorded output of the real Claude Code and of the scripted player is damaged at random. A failure
prints its seed: FUZZ_SEED=<seed> FUZZ_RUNS=1 plays it again. FUZZ_RUNS=20000 is a soak.
"""

from __future__ import annotations

import json
import os
import random
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.agent_output.reader import OutputReader
from orchestrator.agent_output.usage_meter import MOST_MESSAGES, UsageMeter
from orchestrator.backends import scripted
from orchestrator.backends._claude_events import read_event
from orchestrator.egress.providers.anthropic import MessagesUsage
from orchestrator.egress.usage_observer import DocumentReader, StreamReader, UsageObserver
from orchestrator.interfaces.agent import UsageReport
from orchestrator.interfaces.sandbox import Chunk
from orchestrator.models import Usage
from orchestrator.models.tokens import MOST_TOKENS_OF_A_MESSAGE
from orchestrator.settings import load_settings

RUNS = int(os.environ.get("FUZZ_RUNS", "150"))
FIRST_SEED = int(os.environ.get("FUZZ_SEED", "0")) or random.SystemRandom().randrange(10**9)
LINE_LIMIT = 64 * 1024
CLAUDE = (Path(__file__).parents[2] / "fixtures" / "claude_transcript.jsonl").read_bytes()
SCRIPTED = b"".join(
    json.dumps(line).encode() + b"\n"
    for line in (
        {"type": "session", "id": "scripted-1"},
        {"type": "tool", "name": "write", "detail": "a"},
        {"type": "tokens", "id": "a", "input": 10, "output": 3},
        {"type": "message", "text": "Working."},
        {"type": "result", "summary": "Done."},
    )
)
SSE = b"".join(
    b"event: x\ndata: " + json.dumps(json.loads(line)["event"]).encode() + b"\n\n"
    for line in CLAUDE.splitlines()
    if b'"stream_event"' in line
)
GARBAGE = (
    b'"a JSON string"', b"(node:12) Warning: deprecated", b"{}", b"null", b"[]", b"NaN", b"-1e999",
    b"\xff\xfe", b"\x00", b"\xef\xbb\xbf", b"{", b"}", b'{"type":', b"[" * 5000, b'{"a":' * 5000,
    b"9" * 9000, b"x" * (2 * LINE_LIMIT), b'"', b"\\", b"\r", b"\n", b'{"type": "result"}',
    b'{"type": "result", "subtype": "error_x", "is_error": true, "num_turns": 0}',
)  # fmt: skip
WRONG = (
    None, True, False, -1, 0, 10**12, 10**400, 1e308, float("nan"), float("inf"), -0.5, "", "x",
    "\ud83d", [], [None], {}, {"a": None}, [[[[]]]],
)  # fmt: skip


def swapped(chance: random.Random, value: object) -> object:
    """Return a document in which one value is of another kind."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        name = chance.choice(list(value))
        return {**value, name: swapped(chance, value[name])}
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        return [*value[:at], swapped(chance, value[at]), *value[at + 1 :]]
    return chance.choice(WRONG)


def flipped(chance: random.Random, line: bytes) -> bytes:
    content = bytearray(line)
    for _ in range(chance.randrange(1, 5)):
        if content:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(content)


def retyped(chance: random.Random, line: bytes) -> bytes:
    try:
        return json.dumps(swapped(chance, json.loads(line))).encode()
    except (ValueError, RecursionError):
        return line


def cut(chance: random.Random, line: bytes) -> bytes:
    """Cut it in two, and put nothing, a newline or garbage between; or keep the first part."""
    at = chance.randrange(len(line) + 1)
    between = chance.choice((b"", b"\n", chance.choice(GARBAGE)))
    return line[:at] + (between + line[at:] if chance.random() < 0.7 else b"")


def surrounded(chance: random.Random, line: bytes) -> bytes:
    return chance.choice(GARBAGE) + line + chance.choice((b"", line, chance.choice(GARBAGE)))


DAMAGE = (flipped, retyped, cut, surrounded)


def damaged(chance: random.Random, output: bytes, end: bytes = b"\n") -> bytes:
    lines = output.split(end)
    for _ in range(chance.randrange(1, 12)):
        at = chance.randrange(len(lines))
        match chance.randrange(5):
            case 0:
                del lines[at : at + chance.randrange(3)]
                lines = lines or [b""]
            case 1:
                lines.insert(at, chance.choice(GARBAGE))
            case 2:
                other = chance.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case _:
                lines[at] = chance.choice(DAMAGE)(chance, lines[at])
    return end.join(lines)


class Reads:
    """As much of a backend as reads."""

    reports_result = True

    def __init__(self, signals) -> None:
        self.signals = signals


def fed(signals, output: bytes, chance: random.Random) -> OutputReader:
    transcript = OutputReader(
        Reads(signals), clock=lambda: datetime.now(UTC), secrets=("s3cret",),
        line_limit_bytes=LINE_LIMIT,
    )  # fmt: skip
    while output:
        size = chance.choice((1, 7, 500, 65_536)) if len(output) < 2000 else 65_536
        transcript.feed(Chunk(chance.choice(("stdout",) * 9 + ("stderr",)), output[:size]))
        output = output[size:]
    return transcript


@pytest.mark.parametrize(
    ("signals", "output", "result"),
    [
        (
            read_event, CLAUDE,
            b'{"type":"result","subtype":"success","is_error":false,"num_turns":2,"result":"Kept."}',
        ),
        (
            scripted.build(load_settings({})).signals, SCRIPTED,
            b'{"type": "result", "summary": "Kept."}',
        ),
    ],
    ids=["claude", "scripted"],
)  # fmt: skip
def test_no_damage_is_an_error_and_a_result_that_came_is_found(signals, output, result):
    for seed in range(FIRST_SEED, FIRST_SEED + RUNS):
        chance = random.Random(seed)
        print("FUZZ_SEED", seed)
        transcript = fed(signals, damaged(chance, output), chance)
        transcript.feed(Chunk("stdout", b"\n" + result + b"\n"))
        for _ in range(chance.randrange(4)):
            transcript.feed(Chunk("stdout", chance.choice(GARBAGE) + b"\n"))
        transcript.finish()
        assert transcript.result is not None
        assert transcript.result.ok
        spent = transcript.spent.total_tokens
        assert 0 <= spent <= transcript.messages * MOST_TOKENS_OF_A_MESSAGE
        for line in transcript.drain_lines():
            line.model_dump_json().encode()
        transcript.summary.encode()
        transcript.last_foreign.encode()


def test_no_damage_to_an_answer_is_an_error_of_the_proxys_reader():
    document = json.dumps(
        {"type": "message", "id": "m", "usage": {"input_tokens": 5, "output_tokens": 7}}
    ).encode()
    for seed in range(FIRST_SEED, FIRST_SEED + RUNS):
        chance = random.Random(seed)
        print("FUZZ_SEED", seed)
        confirmation = UsageObserver(lambda seen: (seen.message_id.encode(), seen.usage.wire()))
        for reader, output in ((StreamReader, SSE), (DocumentReader, document)):
            one = reader(confirmation, MessagesUsage())
            broken = damaged(chance, output)
            for start in range(0, len(broken), 4096):
                one.feed(broken[start : start + 4096])
            one.finish()
        assert confirmation.total.total_tokens >= 0


def test_ever_new_messages_do_not_fill_the_memory():
    meter = UsageMeter()
    tracemalloc.start()
    for number in range(3 * MOST_MESSAGES):
        meter.add(UsageReport(f"{number}-" + "x" * 100_000, Usage(output_tokens=1)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20
    assert meter.total.total_tokens == meter.messages == 3 * MOST_MESSAGES


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "result", "a": "' + b"\\" * 60_000,
        b'{"' * 30_000,
        b'{"a":{"a":' * 6000,
        b'{"a":[1,' * 8000,
        b'{"a":1}x' * 8000,
        b"[" * 60_000 + b"]" * 4000,
        b'{"type":"x"}' * 5000,
    ],
)
def test_no_line_is_slow_to_read(line):
    """As work, for time depends on the machine: characters that are decoded for each one read."""
    import cProfile
    import pstats

    profile = cProfile.Profile()
    profile.runcall(read_event, line)
    calls = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    assert calls < 40 * len(line)
