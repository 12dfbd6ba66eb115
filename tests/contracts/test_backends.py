"""What every agent backend keeps, whichever file or package brings it."""

from __future__ import annotations

import importlib
import json
import random
import shutil

import pytest

from orchestrator.errors import BackendUnavailable, SettingsInvalid
from orchestrator.interfaces.agent import AgentJob, AgentMessage, Launch
from orchestrator.interfaces.signals import Foreign
from orchestrator.models import AgentType
from orchestrator.settings import load_settings
from orchestrator.wiring import BACKENDS

GARBAGE = (
    b"\x00\xff not json {",
    b"{",
    b"[]",
    b"null",
    b"1e999",
    b"9" * 10_000,
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"type": []}',
    b'{"type": "\\ud800"}',
    *(
        json.dumps({"type": kind, "message": value, "event": value, "usage": value}).encode()
        for kind in ("assistant", "result", "stream_event", "message", "tokens", "system")
        for value in (None, [], "x", {"id": 1, "content": [None]}, {"usage": {"input_tokens": -1}})
    ),
    *(random.Random(seed).randbytes(200) for seed in range(200)),
)


@pytest.fixture(params=BACKENDS.names())
def name(request):
    return request.param


@pytest.fixture
def job(tmp_path):
    return AgentJob(
        agent_id="a-1",
        agent_type=AgentType.WORKER,
        work_items=("Do it.",),
        skills=(),
        worktree=tmp_path,
        home=tmp_path,
    )


def test_it_says_what_it_is(name):
    module = importlib.import_module(f"{BACKENDS.package}.{name}")
    assert module.__doc__
    assert type(BACKENDS.build(name, load_settings({}))).__doc__


@pytest.mark.parametrize("given", [{}, {"CLAUDE_API_KEY": "k"}])
def test_what_it_launches_exists_or_it_says_what_is_missing(name, job, given):
    backend = BACKENDS.build(name, load_settings(given))
    try:
        launch = backend.launch(job)
    except BackendUnavailable:
        with pytest.raises(BackendUnavailable, match=r"\w"):
            backend.check()
    else:
        assert isinstance(launch, Launch)
        assert shutil.which(launch.argv[0])
        assert "\n" not in backend.check()


def test_no_line_is_an_error(name):
    backend = BACKENDS.build(name, load_settings({}))
    for line in GARBAGE:
        for signal in backend.signals(line):
            if isinstance(signal, AgentMessage | Foreign):
                signal.text.encode()


def test_an_unknown_option_is_refused(name):
    variable = f"ORCHESTRATOR_BACKENDS__{name.upper()}__UNHEARD_OF"
    with pytest.raises(SettingsInvalid, match=f"^{variable}: there is no such option"):
        BACKENDS.build(name, load_settings({variable: "1"}))
