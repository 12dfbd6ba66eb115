"""The submit service: turns a spawn request into a registered agent and its queue message."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.control.looser_gates import looser_gates
from orchestrator.control.model_choices import ModelChoices, no_offer
from orchestrator.errors import (
    ChangeMissing,
    OrchestratorError,
    RequestInvalid,
    StoreUnreachable,
    TransitionRefused,
)
from orchestrator.gates.profiles import profiles
from orchestrator.interfaces.model_offer import ModelOffer
from orchestrator.models import (
    AgentState,
    AgentType,
    AuditAction,
    ModelChoice,
    SpawnRequest,
    Status,
)
from orchestrator.models.identifiers import AGENT_ID
from orchestrator.models.state_machine import FINAL
from orchestrator.store import agents, changes
from orchestrator.store.operations import Flow, Operation
from orchestrator.store.registration import (
    Submitted,
    refusal,
    submission,
)


@dataclass(frozen=True)
class SubmitService:
    """Accepts spawn requests from HTTP, the CLI, and raw messages of the broker."""

    default_agent: str
    agents: frozenset[str]
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    #: The default of an agentType, if the settings name one.
    defaults: Mapping[AgentType, ModelChoice] = field(default_factory=dict)
    offers: Callable[[str], ModelOffer] = no_offer
    has_price: Callable[[str], bool] = lambda _model: True

    @property
    def choices(self) -> ModelChoices:
        """The rules by which a request gets its backend, model and effort."""
        return ModelChoices(self.default_agent, self.agents, self.defaults, self.offers)

    def offered(self) -> dict[str, ModelOffer]:
        """Return what each backend offers that can be built here."""
        found: dict[str, ModelOffer] = {}
        for name in sorted(self.agents):
            with suppress(OrchestratorError, ImportError):
                found[name] = self.offers(name)
        return found

    def submit(
        self,
        document: object,
        *,
        agent_id: str = "",
        priority: int | None = None,
        idempotency_key: str = "",
        by: str = "",
    ) -> Operation[Submitted]:
        """Check a request and return the operation that registers and enqueues it.

        The operation is one script. A caller that has already named the agent gives `agent_id`:
        the Celery id of a raw message. `priority` (1 to 10, 10 most urgent) applies if the request
        has none. The audit contains `by`, and what the request loosens of the gates. An
        idempotency key is remembered for this caller only.

        Raises:
            RequestInvalid: the request has faults; the error lists each with its path.
        """
        request = SpawnRequest.parse(document)
        if agent_id and not AGENT_ID.fullmatch(agent_id):
            raise RequestInvalid((("task_id", "must consist of letters, digits, - and _"),))
        choices = self.choices.of(request)
        if unknown := set(request.gates) - profiles().gates.keys():
            known = ", ".join(profiles().gates)
            fault = f"there is no gate {min(unknown)!r}, only {known}"
            raise RequestInvalid((("gates", fault),))
        if priority is not None and "priority" not in request.model_fields_set:
            request = request.model_copy(update={"priority": priority})
        agent_id = agent_id or self.new_id()
        context = request.context
        note = AuditAction(
            action="spawn",
            who=by,
            why="",
            agent_id=agent_id,
            task_id=request.task_id,
            scope=f"{context.repository} {context.branch}",
            result=looser_gates(request) or None,
        )
        return submission(
            request,
            agent_id=agent_id,
            choices=choices,
            now=self.clock(),
            tag=self.new_id(),
            note=note,
            idempotency_key=idempotency_key,
            unpriced=self._unpriced(choices),
        )

    def retry(
        self,
        agent_id: str,
        *,
        is_afresh: bool,
        retain_s: float,
        by: str,
        why: str,
        may_edit: Sequence[str] = (),
    ) -> Flow[Submitted]:
        """Spawn the request of an ended agent again, as a new agent.

        The new agent continues from the newest saved change, unless `is_afresh` or no change is
        saved. Its name for the change is stored for `retain_s` seconds. `may_edit` adds to the
        files that the request allows the work to edit. The audit contains `by`, `why` and these.

        Raises:
            RequestInvalid: `may_edit` has faults, or a backend or model is no longer offered.
            NotFound: there is no such agent.
            TransitionRefused: the agent has not ended, or has completed.
            ObjectDamaged: a part of its change is missing; `is_afresh` goes without it.
            Halted: the halt stops the admission.
            BudgetExhausted: the tokens left today are fewer than the reservation.
            DollarsExhausted: the dollars of today are spent.
            PriceUnknown: dollars are limited, and a model has no price.
        """
        agent: AgentState = yield agents.read(agent_id)
        request: SpawnRequest = yield agents.read_request(agent_id)
        if agent.status not in FINAL or agent.status is Status.COMPLETED:
            msg = f"Agent {agent_id} is {agent.status}: only what failed or was killed is retried."
            raise TransitionRefused(msg)
        if may_edit:
            patterns = list(dict.fromkeys((*request.may_edit, *may_edit)))
            request = SpawnRequest.parse({**request.wire(), "mayEdit": patterns})
        # A fallback may have changed its backend; the new agent begins with the first choice again.
        choices = self.choices.of(request, agent.all_choices[0].agent)
        new_id = self.new_id()
        start: dict[str, object] = {}
        if not is_afresh and agent.base_commit:
            try:
                # The change counts as that of attempt 0, from which the first attempt continues.
                yield from changes.copy_newest_change(
                    agent_id, agent.attempt, new_id, for_s=retain_s
                )
            except ChangeMissing:
                start = {}
            else:
                start = {"base_commit": agent.base_commit, "continues_attempt": 0}
        step = submission(
            request,
            agent_id=new_id,
            choices=choices,
            now=self.clock(),
            tag=self.new_id(),
            note=AuditAction(
                action="retry",
                who=by,
                why=why,
                agent_id=agent_id,
                result="; ".join(filter(None, (_added(new_id, may_edit), looser_gates(request)))),
            ),
            start=start,
            unpriced=self._unpriced(choices),
        )
        try:
            submitted: Submitted = yield step
        except StoreUnreachable:
            # It may be registered all the same, and needs the change.
            raise
        except OrchestratorError:
            if start:
                yield from changes.drop_changes(new_id, 0)
            raise
        return submitted

    def _unpriced(self, choices: Sequence[ModelChoice]) -> str:
        named = (one.model for one in choices if one.model)
        return next((model for model in named if not self.has_price(model)), "")

    def refuse(self, agent_id: str, error: OrchestratorError) -> Operation[None]:
        """Return the operation that reports a refused raw message: Celery result and event."""
        return refusal(agent_id, error, now=self.clock())


def _added(agent_id: str, may_edit: Sequence[str]) -> str:
    return ", may edit ".join(filter(None, (f"agent {agent_id}", " ".join(may_edit))))
