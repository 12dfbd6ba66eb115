"""A text that is slow to scan is withheld, and nothing else counts as slow."""

from __future__ import annotations

import time

import pytest

from orchestrator.secretscan import engine
from orchestrator.secretscan.scanner import UNSCANNABLE, masked


def test_a_text_that_cannot_be_scanned_in_time_is_withheld_and_ends_nobody(monkeypatch):
    monkeypatch.setattr(engine, "SCAN_TIMEOUT_S", 0.0)
    assert masked("a line of output") == f"[{UNSCANNABLE}]"


def test_the_time_to_load_the_rules_is_not_the_time_of_the_first_text(monkeypatch):
    """Without a cache and on a busy host that takes longer than any text may."""
    loaded = engine._loaded()
    clock = [0.0]

    def load():
        clock[0] += 2 * engine.SCAN_TIMEOUT_S * (len(clock) == 1)
        clock.append(0.0)
        return loaded

    monkeypatch.setattr(engine, "_loaded", load)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    assert engine.find(b"a line of output") == []


@pytest.mark.parametrize("path", ["a.txt", "gho_" + "0123456789abcdefghijklmnopqrstuvwxyz"])
def test_a_path_is_withheld_too(monkeypatch, path):
    monkeypatch.setattr(engine, "SCAN_TIMEOUT_S", 0.0)
    assert masked(path) == f"[{UNSCANNABLE}]"
