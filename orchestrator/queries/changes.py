"""The changes of agents, for display and export: as patches and as bundles."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import ChangeMissing, ChangeRefused
from orchestrator.models import AgentState
from orchestrator.queries.set_aside import missing
from orchestrator.settings import Settings
from orchestrator.store import agents, changes
from orchestrator.store.client import Store
from orchestrator.workspace.bundle import Beside, bundle_of, read_heads
from orchestrator.workspace.change import Candidate, Candidates
from orchestrator.workspace.diff import patch, ranges, whole_patch
from orchestrator.workspace.git import Git
from orchestrator.workspace.inside.naming import CHANGE
from orchestrator.workspace.mirror import Base, Mirrors
from orchestrator.workspace.push import pushed_to

#: The prefixes that people may omit from the name of a ref.
_SHORT = ("refs/heads/", "refs/tags/", "refs/")


@contextmanager
def received(
    settings: Settings, store: Store, agent_id: str
) -> Iterator[tuple[Candidates, Candidate, Base]]:
    """Fetch the newest change of an agent into a repository of this host; on exit remove it.

    Raises:
        NotFound: there is no such agent.
        ChangeMissing: the agent changed nothing, or its change was pushed.
        ChangeRefused: git refuses the bundle; `read_bundle` still returns it.
    """
    attempt, bundle, base = _retained(settings, store, agent_id)
    candidates = Candidates(settings, Git(settings))
    with candidates.received(
        base, bundle, _scratch_name(agent_id), attempt, may_be_empty=True
    ) as candidate:
        yield candidates, candidate, base


def read_patch(settings: Settings, store: Store, agent_id: str, ref: str = "") -> str:
    """Return the change of an agent as a patch: the pushed commit, otherwise the retained change.

    With `ref`, return the difference of that retained commit from the base commit. The ref
    `attempt-N` is the change of an earlier attempt; `attempt-N/REF` is a commit beside that change.

    Raises:
        NotFound: there is no such agent.
        ChangeMissing: the agent changed nothing, or has no such ref.
        ChangeRefused: git refuses the bundle.
    """
    agent = store.run(agents.read(agent_id))
    git = Git(settings)
    if ref:
        with _whole(settings, store, agent_id, ref) as (git_dir, base, one):
            compared = ranges(git, git_dir, base.commit, one.commit)
            return "".join(patch(git, git_dir, *pair) for pair in compared)
    if agent.branch and agent.commit:
        address = pushed_to(settings.push_url, agent.repository)
        pushed = Mirrors(settings, git).at(address, agent.branch, agent.commit)
        return patch(git, pushed.mirror, f"{agent.commit}^", agent.commit)
    with received(settings, store, agent_id) as (candidates, candidate, base):
        return candidates.patch(candidate, base)


def read_bundle(store: Store, agent_id: str) -> bytes:
    """Return the newest stored bundle of an agent; git does not check it.

    Raises:
        NotFound: there is no such agent.
        ChangeMissing: the agent changed nothing, or its change was pushed.
    """
    return _newest(store, store.run(agents.read(agent_id)))[1]


def export_patch(settings: Settings, store: Store, agent_id: str) -> bytes:
    """Return the newest retained change of an agent as a patch for `git apply`.

    Raises:
        NotFound: there is no such agent.
        ChangeMissing: the agent changed nothing, or its change was pushed.
        ChangeRefused, ChangeTooLarge: no patch can be made of it; `read_bundle` still returns it.
    """
    with received(settings, store, agent_id) as (candidates, candidate, base):
        return candidates.whole_patch(candidate, base)


def export_ref(
    settings: Settings, store: Store, agent_id: str, ref: str, *, as_patch: bool
) -> bytes:
    """Return one retained commit of an agent: as a bundle since the base commit, or as a patch.

    The bundle of `attempt-N` is the whole bundle of that attempt.

    Raises:
        NotFound: there is no such agent.
        ChangeMissing: the agent has no retained commit with this name.
    """
    git = Git(settings)
    agent = store.run(agents.read(agent_id))
    number, inner = _attempt_of(agent, ref)
    if number is not None and not inner and not as_patch:
        return store.follow(changes.get_change(agent_id, number))
    with _whole(settings, store, agent_id, ref) as (git_dir, base, one):
        if as_patch:
            compared = ranges(git, git_dir, base.commit, one.commit)
            return b"".join(whole_patch(git, git_dir, *pair) for pair in compared)
        return bundle_of(git, git_dir, base.commit, one.ref, one.commit)


def retained_refs(store: Store, agent_id: str) -> tuple[Beside, ...]:
    """Return the retained commits of an agent beside its change.

    They include the changes of earlier attempts that the newest bundle does not contain.

    Raises:
        NotFound: there is no such agent.
    """
    agent = store.run(agents.read(agent_id))
    earlier = tuple(
        Beside("", one.kind, one.ref, one.commit)
        for one in agent.retained or ()
        if one.attempt is not None
    )
    try:
        return (*read_heads(_newest(store, agent)[1]).beside, *earlier)
    except (ChangeMissing, ChangeRefused):
        return earlier


def _retained(
    settings: Settings, store: Store, agent_id: str, number: int | None = None
) -> tuple[int, bytes, Base]:
    """Return attempt, bundle and base: of attempt `number`, or of the newest with a bundle."""
    agent: AgentState = store.run(agents.read(agent_id))
    if number is None:
        attempt, bundle = _newest(store, agent)
    else:
        attempt, bundle = number, store.follow(changes.get_change(agent_id, number))
    mirrors = Mirrors(settings, Git(settings))
    base = mirrors.at(agent.repository, agent.base_branch, agent.base_commit or "")
    return attempt, bundle, base


def _newest(store: Store, agent: AgentState) -> tuple[int, bytes]:
    try:
        return store.follow(changes.newest_change(agent.agent_id, agent.attempt))
    except ChangeMissing as error:
        raise missing(agent, error) from None


@contextmanager
def _whole(
    settings: Settings, store: Store, agent_id: str, ref: str
) -> Iterator[tuple[Path, Base, Beside]]:
    number, inner = _attempt_of(store.run(agents.read(agent_id)), ref)
    attempt, bundle, base = _retained(settings, store, agent_id, number)
    heads = read_heads(bundle)
    if number is None or inner:
        found = _find(heads.beside, inner)
    else:
        found = Beside(CHANGE, "tree", ref, heads.change)
    candidates = Candidates(settings, Git(settings))
    with candidates.received_whole(base, bundle, _scratch_name(agent_id), attempt) as (git_dir, _):
        yield git_dir, base, found


def _attempt_of(agent: AgentState, ref: str) -> tuple[int | None, str]:
    """Return the earlier attempt that a ref names, if it names one, and the ref in its bundle."""
    for one in agent.retained or ():
        if one.attempt is not None and (ref == one.ref or ref.startswith(f"{one.ref}/")):
            return one.attempt, ref[len(one.ref) + 1 :]
    return None, ref


def _find(beside: tuple[Beside, ...], ref: str) -> Beside:
    for name in (ref, *(f"{prefix}{ref}" for prefix in _SHORT)):
        for one in beside:
            if name in (one.name, one.ref):
                return one
    if len(matching := [one for one in beside if one.commit.startswith(ref)]) == 1:
        return matching[0]
    known = ", ".join(one.name for one in beside) or "none"
    msg = f"No retained commit has the name {ref}; there is {known}."
    raise ChangeMissing(msg, action="Name one of these: `orch diff ID` lists them.")


def _scratch_name(agent_id: str) -> str:
    """Return a folder name that no gate check and no other reader uses."""
    return f"{agent_id}-{uuid.uuid4().hex[:8]}"
