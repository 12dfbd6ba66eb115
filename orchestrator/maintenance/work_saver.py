"""Saves the work of ended attempts in Valkey, or on this host if Valkey cannot store it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from orchestrator.errors import (
    ChangeEmpty,
    DiskFull,
    GitFailed,
    OrchestratorError,
    StoreRefused,
    StoreUnreachable,
    TransitionRefused,
)
from orchestrator.log import get_logger
from orchestrator.models import AgentState, NotSaved
from orchestrator.models.state_machine import WAITING
from orchestrator.store import agents, changes, kills
from orchestrator.store.client import Store
from orchestrator.store.unsaved_reports import report_unsaved
from orchestrator.workspace.clone import Workspaces
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.origin import Origin
from orchestrator.workspace.unsaved import Unsaved, UnsavedWork
from orchestrator.workspace.worktree import Workspace

#: A failed salvage is tried again after this; disk space or programs may be available by then.
TRY_AGAIN_S = 600.0
_REASON_CHARACTERS = 1000
_REMOVE_WAIT_S = 60.0

log = get_logger("work_saver")


@dataclass(frozen=True)
class WorkSaver:
    """Saves work that is not delivered: of failed, killed and lost attempts.

    Work that cannot be stored stays on the disk of this host. It stays until it can be stored,
    until the retention ends, or until a person removes the folder that the agent's state names.
    """

    store: Store
    clock: Callable[[], datetime]
    #: The name of this host, the part after `@` in a worker's name.
    host: str
    workspaces: Workspaces
    unsaved: Unsaved
    #: Makes the bundle of a workspace; it does not need the agent's `.git`.
    salvage: Callable[[AgentState, Workspace, Base], bytes]
    retention_s: float

    def keep(
        self, agent: AgentState, workspace: Workspace, base: Base, bundle: bytes | None = None
    ) -> bool:
        """Save the work of an attempt that ends; the caller holds the workspace.

        With `bundle`, the captured change, this bundle is stored; otherwise the workspace is
        salvaged. Nothing is raised, so that the error of the attempt is not replaced. False means
        that the workspace must not be removed. Touches: the change and the receipt of the agent.
        """
        origin = Origin(
            agent_id=agent.agent_id,
            attempt=agent.attempt,
            mirror=base.mirror,
            base_commit=base.commit,
        )
        try:
            self._keep(agent, workspace, origin, bundle)
        except Exception:  # any error: the error of the attempt must not be replaced
            log.exception("work not saved", agentId=agent.agent_id, path=str(workspace.root))
            return False
        return True

    def save_left(self, agent_id: str) -> None:
        """Save the work of a lost attempt on this host; the caller holds the workspace.

        Raises:
            DiskFull: the disk takes no writes; the work stays where it is.
            GitFailed: the work can neither be stored nor be moved.
        """
        if (left := self.workspaces.left(agent_id)) is None:
            return
        try:
            self._save_left(agent_id, *left)
        except OSError as error:
            msg = f"The work of agent {agent_id} can neither be stored nor set aside ({error})."
            raise (DiskFull if DiskFull.is_cause_of(error) else GitFailed)(msg) from error
        self.workspaces.mark_saved(agent_id)

    def _save_left(self, agent_id: str, workspace: Workspace, origin: Origin) -> None:
        try:
            agent = self.store.run(agents.find(agent_id))
        except OrchestratorError as error:
            # Valkey is unreachable, or another version wrote the record: the work stays here.
            self._set_aside(origin, _reason(error), None)
            return
        if agent is None:
            self._set_aside(origin, "Valkey holds no record of the agent.", None)
            return
        log.info("lost attempt found", agentId=agent_id, attempt=origin.attempt)
        self._keep(agent, workspace, origin, None)

    def is_left(self, agent_id: str) -> bool:
        """Return whether this host has a workspace with unsaved work that no process holds."""
        return self.has_unsaved(agent_id) and not self.workspaces.is_held(agent_id)

    def has_unsaved(self, agent_id: str) -> bool:
        """Return whether this host has a workspace with unsaved work, held or not."""
        return self.workspaces.left(agent_id) is not None

    def remove(self, agent_id: str, *, wait_s: float = _REMOVE_WAIT_S) -> int:
        """Save the work in an agent's workspace and remove the workspace; return the bytes freed.

        Raises:
            GitFailed: the work could not be saved, the workspace could not be removed, or a worker
                held it for longer than `wait_s` seconds.
        """
        return self.workspaces.remove(
            agent_id, wait_s=wait_s, first=lambda: self.save_left(agent_id)
        )

    def review(self, agent_id: str = "") -> None:
        """Store, report or remove the unsaved work on this host, of one agent or of all.

        Work is removed after it is stored, after the retention, or if its kill discards it.

        Raises:
            StoreUnreachable: Valkey does not answer.
        """
        for work in self.unsaved.all(agent_id):
            with self.unsaved.held(work) as is_ours:
                if is_ours:
                    self._review(work)

    def store_now(self, work: UnsavedWork) -> None:
        """Try again to store work that was set aside, however short ago the last attempt was.

        Raises:
            GitFailed: it still cannot be stored, or a worker stores it now.
        """
        with self.unsaved.held(work) as is_ours:
            if is_ours:
                record = work.record.model_copy(update={"tried_at_s": 0.0})
                self._review(replace(work, record=record))
        for left in self.unsaved.all(work.origin.agent_id):
            if left.folder == work.folder:
                name, reason = work.origin.agent_id, left.record.reason
                msg = f"The work of agent {name} is still not stored: {reason}"
                raise GitFailed(msg, action=f"`orch export {name}` writes it to a file.")

    # ── one attempt's work ──────────────────────────────────────────────────────────────────

    def _keep(
        self, agent: AgentState, workspace: Workspace, origin: Origin, bundle: bytes | None
    ) -> None:
        if self._is_discarded(origin.agent_id):
            return
        try:
            bundle = bundle or self._salvaged(agent, workspace, origin)
            self._put(origin, bundle)
        except ChangeEmpty:
            log.info("nothing to save", agentId=origin.agent_id, attempt=origin.attempt)
        except Exception as error:  # any error: the work must not be lost
            log.exception("not saved", agentId=origin.agent_id, attempt=origin.attempt)
            self._set_aside(origin, _reason(error), bundle)

    def _salvaged(self, agent: AgentState, workspace: Workspace, origin: Origin) -> bytes:
        # The agent's present attempt may be a newer one.
        left = agent.model_copy(update={"attempt": origin.attempt})
        return self.salvage(left, workspace, origin.base)

    def _put(self, origin: Origin, bundle: bytes) -> None:
        agent_id = origin.agent_id
        kept = changes.save_change(agent_id, origin.attempt, bundle, for_s=self.retention_s)
        self.store.follow(kept)
        if self.store.run(kills.find_receipt(agent_id)) is not None:
            self.store.run(kills.add_to_receipt(agent_id, {"savedBytes": len(bundle)}))

    def _set_aside(self, origin: Origin, reason: str, bundle: bytes | None) -> None:
        work = self.unsaved.set_aside(origin, reason, bundle, now_s=self._now_s)
        log.warning("set aside", agentId=origin.agent_id, path=str(work.folder), reason=reason)
        with suppress(OrchestratorError):
            self._report(work)

    @property
    def _now_s(self) -> float:
        return self.clock().timestamp()

    def _is_discarded(self, agent_id: str) -> bool:
        try:
            receipt = self.store.run(kills.find_receipt(agent_id))
        except OrchestratorError as error:
            log.warning("receipt not read", agentId=agent_id, reason=str(error))
            return False
        return receipt is not None and receipt.discard

    # ── unsaved work on this host ───────────────────────────────────────────────────────────

    def _review(self, work: UnsavedWork) -> None:
        agent_id = work.origin.agent_id
        if self._now_s > work.record.since_s + self.retention_s:
            log.warning("unsaved work dropped", agentId=agent_id, reason="its retention has ended")
            self.unsaved.remove(work)
            return
        agent = self.store.run(agents.find(agent_id))
        if agent is None:
            return
        if self._is_discarded(agent_id):
            self.unsaved.remove(work)
            return
        if not work.record.is_stored and not self._store(agent, work):
            if not work.record.is_reported:
                self._report(work)
        elif self._write(agent, work, None):
            log.info("unsaved work stored", agentId=agent_id, attempt=work.origin.attempt)
            self.unsaved.remove(work)

    def _store(self, agent: AgentState, work: UnsavedWork) -> bool:
        """Store the work; return whether nothing of it is left to store."""
        bundle, now_s = work.bundle(), self._now_s
        if bundle is None and now_s < work.record.tried_at_s + TRY_AGAIN_S:
            return False
        try:
            bundle = bundle or self._salvaged(agent, work.workspace, work.origin)
            self._put(work.origin, bundle)
        except ChangeEmpty:
            return True
        except (StoreUnreachable, StoreRefused):
            raise
        except Exception as error:  # any error: the review must continue with other work
            log.exception("not saved", agentId=agent.agent_id, attempt=work.origin.attempt)
            work.write(
                work.record.model_copy(update={"reason": _reason(error), "tried_at_s": now_s})
            )
            return False
        work.write(work.record.model_copy(update={"is_stored": True}))
        return True

    def _report(self, work: UnsavedWork) -> None:
        agent = self.store.run(agents.find(work.origin.agent_id))
        unsaved = NotSaved(
            attempt=work.origin.attempt,
            reason=work.record.reason,
            host=self.host,
            path=str(work.path),
        )
        if agent is not None and self._write(agent, work, unsaved):
            work.write(work.record.model_copy(update={"is_reported": True}))

    def _write(self, agent: AgentState, work: UnsavedWork, unsaved: NotSaved | None) -> bool:
        """Write or clear the report of unsaved work; return whether the state is up to date."""
        if unsaved is None and (
            agent.not_saved is None or agent.not_saved.attempt != work.origin.attempt
        ):
            return True
        if agent.phase in WAITING:
            # A waiting agent's state is not written; the next claim makes it possible.
            return False
        try:
            self.store.run(report_unsaved(agent, unsaved, now=self.clock()))
        except TransitionRefused as refusal:
            log.info("not reported", agentId=agent.agent_id, reason=str(refusal))
            return False
        return True


def _reason(error: Exception) -> str:
    if isinstance(error, OrchestratorError):
        return error.detail[:_REASON_CHARACTERS]
    return f"{type(error).__name__}: {error}."[:_REASON_CHARACTERS]
