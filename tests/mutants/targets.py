"""Which tests must notice the mutants of which sources."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch

#: Each runs a script's own guards within a few seconds.
_SCRIPTS = ("tests/unit/store", "tests/integration/test_script_arguments.py")
_BUDGET = tuple(
    f"tests/integration/budget/test_{name}.py"
    for name in ("requests", "dollars", "ending", "slots", "tokens", "limits", "mode")
)
_AGENTS = (
    *("tests/integration/test_lifecycle.py", "tests/integration/recovery"),
    *("tests/integration/budget/test_slots.py", "tests/integration/budget/test_tokens.py"),
    *("tests/model/test_found.py", "tests/integration/budget/test_mode.py"),
    "tests/model/test_state_machine.py",
)
_KILL_QUICK = (
    *("tests/unit/leases", "tests/unit/host", "tests/unit/maintenance"),
    "tests/unit/workspace/test_waiting.py",
    *("tests/integration/test_kill_switch.py", "tests/integration/test_kill_answers.py"),
    "tests/integration/delivery/test_guards.py",
)
_DELIVERY = ("guards", "commit_message", "push", "conflicts", "next_attempt")
#: Modules of gates with unit tests of the same name.
_FINDINGS = (
    *("tampering", "gate_files", "check_files", "command_files", "skip_decorators"),
    *("outcomes", "comparison"),
)
_LEASE_QUICK = (
    *("tests/unit/leases", "tests/unit/control", "tests/integration/test_kill_answers.py"),
    *("tests/integration/test_lifecycle.py", "tests/integration/recovery"),
    *("tests/model/test_found.py", "tests/integration/test_unreadable_agents.py"),
    *("tests/integration/budget/test_slots.py", "tests/integration/budget/test_tokens.py"),
)
_LEASE_SLOW = (
    *("tests/integration/test_host_identity.py", "tests/integration/test_tree_records.py"),
    *("tests/integration/test_acknowledge.py", "tests/integration/budget/test_mode.py"),
    *("tests/integration/test_janitor.py", "tests/integration/test_out_of_memory.py"),
    *("tests/model/test_state_machine.py", "tests/faults/test_let_go.py"),
)


#: Tests of gates that start few programs.
_GATES_QUICK = (
    *("command_lines", "config_files", "contributions", "doctests", "exclusions", "faults"),
    *("feedback", "found", "hidden_sources", "ignored_sources", "node_coverage", "own_configure"),
    *("packages", "plan", "planning", "repeated_recipes", "rust_members", "tampering"),
    *("check_files", "tool_config", "command_files", "tool_cheats", "suppressions"),
    *("go_workspaces", "left_out", "node_workspaces", "reach"),
)


@dataclass(frozen=True)
class Target:
    """The sources of one kind, and their tests: all of the quick ones run first."""

    name: str
    sources: tuple[str, ...]
    quick: tuple[str, ...]
    slow: tuple[str, ...] = ()
    #: Whether the tests run the sources in their own process only.
    is_in_process: bool = False

    def has(self, path: str) -> bool:
        """Return whether a source is of this kind."""
        return any(fnmatch(path, pattern) for pattern in self.sources)


TARGETS = (
    Target(
        "lua",
        tuple(
            f"orchestrator/store/lua/{name}.lua"
            for name in (
                *("kill", "heartbeat", "release", "unlock", "transition", "add_to_receipt"),
                *("register", "refuse"),
            )
        ),
        (*_SCRIPTS, *_AGENTS[:-1]),
        _AGENTS[-1:],
    ),
    Target(
        "lua-budget",
        tuple(
            f"orchestrator/store/lua/{name}.lua"
            for name in ("admit_request", "close_requests", "_budget", "set_limits", "recount")
        ),
        (*_BUDGET, "tests/integration/egress/test_admission.py", *_SCRIPTS),
        _AGENTS,
    ),
    Target(
        "lua-records",
        ("orchestrator/store/lua/*.lua",),
        (
            *(*_SCRIPTS, "tests/integration/test_overlap.py", "tests/integration/test_objects.py"),
            *("tests/integration/audit/test_append.py", "tests/integration/test_session_store.py"),
            *("tests/integration/test_lifecycle.py", "tests/integration/recovery"),
            *("tests/integration/test_bounded_copies.py", "tests/integration/test_access.py"),
        ),
    ),
    Target(
        "kill",
        (
            *("orchestrator/control/kill_switch.py", "orchestrator/leases/kill_confirmation.py"),
            *("orchestrator/host/cancel_scope.py", "orchestrator/store/kills.py"),
            "orchestrator/maintenance/kill_listener.py",
        ),
        _KILL_QUICK,
        ("tests/faults/test_let_go.py",),
    ),
    Target(
        "processes",
        (
            *("orchestrator/host/processes.py", "orchestrator/host/tree_records.py"),
            *("orchestrator/sandboxes/_process_tree.py", "orchestrator/sandboxes/_shim.py"),
            "orchestrator/maintenance/orphan_processes.py",
        ),
        ("tests/unit/sandboxes", "tests/unit/host"),
        (
            *("tests/integration/test_process_sandbox.py", "tests/integration/test_janitor.py"),
            *("tests/integration/test_tree_records.py", "tests/integration/test_out_of_memory.py"),
            *("tests/integration/test_host_identity.py", "tests/faults/test_let_go.py"),
        ),
    ),
    Target(
        "leases",
        ("orchestrator/leases/*.py",),
        _LEASE_QUICK,
        _LEASE_SLOW,
    ),
    Target(
        "delivery",
        (
            *("orchestrator/stages/gate_check/delivery.py", "orchestrator/workspace/push.py"),
            *("orchestrator/workspace/conflicts.py", "orchestrator/workspace/change/candidate.py"),
        ),
        ("tests/unit/workspace/test_push.py", "tests/unit/workspace/test_conflicts.py"),
        (
            *(
                "tests/integration/delivery/test_guards.py",
                "tests/integration/delivery/test_push.py",
            ),
            "tests/integration/delivery/test_conflicts.py",
        ),
        is_in_process=True,
    ),
    Target(
        "findings",
        tuple(
            f"orchestrator/gates/{name}.py" for name in (*_FINDINGS, "deleted_tests", "tool_config")
        ),
        tuple(
            f"tests/unit/gates/test_{name}.py" for name in (*_FINDINGS, "comparison_rules", "found")
        ),
        (
            *("tests/unit/gates/test_traced_cheats.py", "tests/unit/gates/test_cheats.py"),
            *("tests/unit/gates/test_red_base.py", "tests/unit/gates/test_red_base_tests.py"),
            "tests/unit/gates/test_red_coverage.py",
        ),
        is_in_process=True,
    ),
    Target(
        "second-judge",
        (
            *(
                f"orchestrator/stages/gate_check/{name}.py"
                for name in (
                    *("base_tests", "base_runs", "base_coverage", "red_base"),
                    *("gate_runner", "secrets"),
                )
            ),
            *("orchestrator/gates/base_records.py", "orchestrator/gates/run_record.py"),
        ),
        (
            *(
                f"tests/unit/stages/gate_check/test_{name}.py"
                for name in (
                    *("base_tests", "base_runs", "base_coverage", "red_base"),
                    *("gate_runner", "secrets"),
                )
            ),
            *("tests/unit/gates/test_base_records.py", "tests/unit/gates/test_run_record.py"),
            "tests/unit/cli/commands/test_environments.py",
        ),
        (
            *("tests/unit/gates/test_comparison.py", "tests/unit/gates/test_comparison_rules.py"),
            *("tests/unit/gates/test_base_tests.py", "tests/unit/gates/test_red_base_tests.py"),
            "tests/integration/delivery/test_secrets.py",
        ),
        is_in_process=True,
    ),
    Target(
        "gates",
        (
            *("orchestrator/gates/*.py", "orchestrator/gates/checks/*.py"),
            *("orchestrator/gates/detectors/*.py", "orchestrator/stages/gate_check/gate_trace.py"),
            *(
                f"orchestrator/stages/gate_check/{name}.py"
                for name in ("gate_program", "recording", "base_check", "unfinished")
            ),
        ),
        (
            *("tests/unit/gates/checks", "tests/unit/stages/gate_check"),
            *(f"tests/unit/gates/test_{name}.py" for name in _GATES_QUICK),
            *(
                f"tests/contracts/test_{name}.py"
                for name in ("detectors", "checks", "tests_check", "coverage_check")
            ),
            "tests/unit/environments",
        ),
        ("tests/unit/gates/test_ended_runs.py", "tests/unit/gates/test_cheats.py"),
        is_in_process=True,
    ),
    Target(
        "secrets",
        ("orchestrator/secretscan/*.py",),
        tuple(
            f"tests/unit/secretscan/test_{name}.py"
            for name in (
                *(
                    "decoders",
                    "false_positives",
                    "goal",
                    "history",
                    "public_blocks",
                    "public_values",
                ),
                *("scanner", "slow", "traps"),
            )
        ),
        ("tests/unit/secretscan/test_hostile_texts.py",),
        is_in_process=True,
    ),
)


def target_of(path: str) -> Target:
    """Return the target of a source.

    Raises:
        LookupError: no target has it.
    """
    for target in TARGETS:
        if target.has(path):
            return target
    raise LookupError(path)
