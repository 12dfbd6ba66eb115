"""The environment of one attempt, and the check of its plan before the agent starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orchestrator.environments.products import provide_products
from orchestrator.environments.service import Borrower, Environments
from orchestrator.errors import PlanUnrunnable
from orchestrator.gates.plan import Plan
from orchestrator.gates.planning import Planning, Tools, worded
from orchestrator.interfaces.environment import Environment
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.log import get_logger
from orchestrator.models import SpawnRequest
from orchestrator.repo_config import CONFIG_FILES, read_repo_config
from orchestrator.settings import Settings
from orchestrator.stages.spawn.context import RunContext
from orchestrator.store import agents, changes
from orchestrator.workspace.mirror import Base

log = get_logger("environment")


@dataclass(frozen=True)
class SpawnEnvironment:
    """Lends the environment to an attempt, and finds plans that cannot approve any change."""

    holder: AgentLeases
    planning: Planning
    environments: Environments
    settings: Settings
    #: Runs the gates of a plan on a base commit; this host remembers how they end.
    run_on_base: Callable[[Plan, Base, Environment | None, Borrower], None]

    @contextmanager
    def held(self, context: RunContext) -> Iterator[Environment | None]:
        """Set up or find the repository's environment, for as long as the attempt runs.

        Before the first start in a workspace, the plan is checked, and the products are copied.

        Raises:
            EnvironmentFailed: it cannot be set up; also the other errors of `Environments.held`.
            PlanUnrunnable: a gate of the plan cannot run, so no change could be approved.
        """
        programs = context.programs
        base, agent = programs.base, programs.agent

        def say(line: str) -> None:
            context.transcript.record(line, source="setup")

        borrower = Borrower(agent.agent_id, agent.attempt, context.lease.check, say)
        request: SpawnRequest | None = None
        if not context.is_prepared:
            request = self.holder.store.run(agents.read_request(agent.agent_id))
            # A plan that cannot pass in any environment is found before the set-up.
            self._check_plan(context, request, Tools(pending=self.environments.kinds(base)))
        with self.environments.held(base, borrower) as environment:
            if environment is not None and request is not None:
                started_s = time.monotonic()
                workspace = programs.workspace
                provide_products(
                    environment,
                    workspace.worktree,
                    workspace.layers,
                    partial(self._offers_overlays, base),
                )
                if environment.products:
                    spent_s = time.monotonic() - started_s
                    say(f"{', '.join(environment.products)} ready after {spent_s:.1f} s")
            if request is not None:
                self._check_base(context, request, environment, borrower)
            yield environment

    def _offers_overlays(self, base: Base, layers: Path) -> bool:
        # A change may only include files that stand in the worktree itself.
        config = read_repo_config(self.planning.mirrors.read_some(base, CONFIG_FILES).get)
        return not config.capture.include and self.environments.sandbox.offers_overlays(layers)

    def _check_base(
        self,
        context: RunContext,
        request: SpawnRequest,
        environment: Environment | None,
        borrower: Borrower,
    ) -> None:
        """Check the plan in its environment; with `ORCHESTRATOR_BASE_CHECK=before` its gates run.

        Raises the errors of `_check_plan`.
        """
        settings, base = self.settings, context.programs.base
        if settings.plan_check == "off" or settings.yolo_mode:
            return
        plan = self.planning.plan(request, base).within(environment)
        is_before = settings.base_check == "before"
        if is_before:
            started_s = time.monotonic()
            self.run_on_base(plan, base, environment, borrower)
            borrower.say(f"gates judged on the base after {time.monotonic() - started_s:.1f} s")
        if is_before or environment is not None:
            self._check_plan(context, request, Tools(environment))
        for line in self.planning.red_gates(plan, base, environment):
            context.transcript.record(line, source="gates")

    def _check_plan(self, context: RunContext, request: SpawnRequest, tools: Tools) -> None:
        """Check, before tokens are spent, that the gates of the plan can run.

        With `ORCHESTRATOR_PLAN_CHECK=warn` a fault is only logged.

        Raises:
            PlanUnrunnable: a gate of the plan cannot run, so no change could be approved.
            RepoConfigInvalid: the configuration of the base commit is malformed.
        """
        base = context.programs.base
        agent = self.planning.with_profile(context.agent, request, base, self.holder)
        faults = self.planning.faults(request, base, tools)
        if not faults:
            return
        lack = worded(faults)
        if self.settings.plan_check == "refuse":
            report = self.planning.report(agent, request, base, faults)
            self.holder.store.run(changes.append_report(report))
            raise PlanUnrunnable(lack)
        log.warning("no change can be approved", agentId=agent.agent_id, why=lack)
        context.transcript.record(f"no change can be approved: {lack}", source="gates")
