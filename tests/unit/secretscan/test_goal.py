"""The goal: at least 95 % of the set's secrets are found, and at most 2 % of its look-alikes."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.secretscan.engine import find, readings
from tests.doubles.secret_field import field_lookalikes, field_secrets
from tests.doubles.secret_locks import FORMATS, lock_file
from tests.doubles.secret_maker import Case, Maker
from tests.doubles.secret_set import lookalikes, positives

ROOT = Path(__file__).parents[3]
SEED = 11


def secrets(case: Case) -> list[bytes]:
    return [match.secret for text in readings(case.content) for match in find(text)]


def test_at_least_95_in_100_secrets_are_found_and_so_many_of_the_types_set_aside():
    cases = list(positives(SEED))
    assert len({(case.group, case.kind) for case in cases}) >= 200
    missed = [case for case in cases if not case.is_found(secrets(case))]
    assert len(missed) <= 0.05 * len(cases), [(case.group, case.kind) for case in missed]
    aside = [case for case in cases if case.held_out]
    assert sum(case.held_out for case in missed) <= 0.05 * len(aside)


def test_at_most_2_in_100_look_alikes_are_flagged():
    cases = list(lookalikes(SEED, each=2))
    flagged = [case.kind for case in cases if secrets(case)]
    assert len(flagged) <= 0.02 * len(cases), flagged


def test_of_what_repositories_hold_at_least_97_in_100_secrets_are_found():
    cases = list(field_secrets(SEED, each=4))
    missed = [case.kind for case in cases if not case.is_found(secrets(case))]
    assert len(missed) <= 0.03 * len(cases), missed


def test_of_what_repositories_hold_at_most_2_in_100_look_alikes_are_flagged():
    cases = list(field_lookalikes(SEED, each=4))
    assert len({case.kind for case in cases}) >= 140
    flagged = [case.kind for case in cases if secrets(case)]
    assert len(flagged) <= 0.02 * len(cases), flagged


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_in_a_lock_file_of_1000_entries_is_flagged(kind):
    content = lock_file(kind, 1000, SEED)
    assert [content[one.start - 40 : one.end] for one in find(content)] == []


@pytest.mark.parametrize("kind", FORMATS)
def test_a_secret_among_the_entries_of_a_lock_file_is_found(kind):
    token = Maker(SEED).fill("ghp_{c30}")[0]
    content = lock_file(kind, 20, SEED)
    middle = content.index(b"\n", len(content) // 2)
    assert find(content[:middle] + f'\n  "minipass": "{token}",'.encode() + content[middle:])


def test_the_same_seed_makes_the_same_set():
    assert list(positives(SEED)) == list(positives(SEED))
    assert list(positives(SEED)) != list(positives(SEED + 1))


@pytest.mark.parametrize(
    "path",
    [
        "tests/doubles/secret_types.py",
        "tests/doubles/secret_lookalikes.py",
        "tests/doubles/secret_set.py",
        "tests/doubles/secret_field.py",
        "tests/doubles/secret_encoded.py",
        "tests/doubles/secret_locks.py",
        "orchestrator/secretscan/public_values.py",
        "orchestrator/secretscan/rules.toml",
        "orchestrator/secretscan/false_positives.py",
        "docs/secrets.md",
    ],
)
def test_no_secret_like_literal_stands_in_a_file(path):
    content = (ROOT / path).read_bytes()
    assert find(content) == []
