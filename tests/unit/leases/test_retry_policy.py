"""Each error of an attempt has one decision, whichever code raises it."""

from __future__ import annotations

import errno
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from orchestrator import errors
from orchestrator.errors import OrchestratorError, ProviderLimited
from orchestrator.leases.attempt_result import Abandon, AwaitProvider, Fail, NotOurs, Reschedule
from orchestrator.leases.retry_policy import RecoveryPolicy, known_error

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = RecoveryPolicy(jitter=lambda: 0.5)
ABANDONED = {"StoreUnreachable", "StoreRefused", "LeaseLost"}
NOT_OURS = {"AgentKilled", "AttemptStale", "TransitionRefused"}
RETRIED_ALREADY = {"CoordinatorUnavailable", "FallbackUnavailable", "PushFailed"}


def agent(recoveries=0, max_retries=3, choices=1):
    return SimpleNamespace(
        recoveries=recoveries, max_retries=max_retries, all_choices=("one",) * choices
    )


def decide(error, **facts):
    return POLICY.decide(error, agent(**facts), NOW)


def expected(error_class):
    name = error_class.__name__
    if name in ABANDONED:
        return Abandon
    if name in NOT_OURS:
        return NotOurs
    if issubclass(error_class, ProviderLimited):
        return AwaitProvider
    return Reschedule if error_class.retryable and name not in RETRIED_ALREADY else Fail


def tree(error_class=OrchestratorError):
    yield error_class
    for below in error_class.__subclasses__():
        yield from tree(below)


def made(error_class):
    error = error_class.__new__(error_class)
    OrchestratorError.__init__(error)
    return error


@pytest.mark.parametrize("error_class", sorted(set(tree()), key=lambda one: one.__name__))
def test_each_class_of_error_has_its_decision(error_class):
    assert isinstance(decide(made(error_class)), expected(error_class))


def test_a_fallback_that_cannot_be_started_leaves_the_other_choices():
    result = decide(errors.FallbackUnavailable(), choices=2)
    assert result == Reschedule(result.error, delay_s=0, counts=False)


def test_each_recovery_waits_longer_than_the_one_before_until_none_is_left():
    results = [decide(errors.SandboxLost(), recoveries=n) for n in range(4)]
    assert [(one.delay_s, one.counts) for one in results[:3]] == [(0.5, True), (1, True), (2, True)]
    assert isinstance(results[3], Fail)


def test_a_recovery_waits_until_other_programs_of_an_exhausted_host_may_have_ended():
    results = [decide(errors.HostExhausted(), recoveries=n) for n in range(4)]
    assert [(one.delay_s, one.counts) for one in results[:3]] == [(90, True)] * 3
    assert isinstance(results[3], Fail)


def test_a_worker_that_stops_costs_no_recovery_and_no_delay():
    result = decide(errors.WorkerStopping(), recoveries=3)
    assert result == Reschedule(result.error, delay_s=0, counts=False)


@pytest.mark.parametrize(
    ("stated_in_s", "waited_s"),
    [(None, 60), (-10, 0), (100, 100), (10 * 86_400, 86_400)],
    ids=["not-stated", "past", "soon", "beyond-a-day"],
)
def test_a_provider_is_waited_for_within_bounds(stated_in_s, waited_s):
    error = ProviderLimited()
    if stated_in_s is not None:
        error.resets_at_s = NOW.timestamp() + stated_in_s
    result = decide(error, recoveries=3)
    assert result.until == NOW + timedelta(seconds=waited_s)
    assert result.jitter_s == POLICY.provider_jitter_s / 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_the_hosts_fault_whatever_was_written(number):
    error = known_error(OSError(number, "full"), agent())
    assert isinstance(error, errors.DiskFull)
    assert decide(error).counts
    other = SimpleNamespace(agent_id="a")
    assert not isinstance(known_error(OSError(errno.EACCES, "no"), other), errors.DiskFull)


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(number, "x") for number in (errno.EMFILE, errno.ENFILE, errno.EAGAIN)),
        *(OSError(errno.ENOMEM, "x"), MemoryError(), RuntimeError("can't start new thread")),
    ],
    ids=repr,
)
def test_an_exhausted_host_is_no_fault_of_its_agents(error):
    found = known_error(error, agent())
    assert isinstance(found, errors.HostExhausted)
    assert decide(found).counts
