"""The gates that a repository configures itself, as commands of a plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.interfaces.gate import GateCommand
from orchestrator.repo_config import CoverageOptions, GateOptions, RepoConfig


@dataclass(frozen=True)
class Configured:
    """One entry of a repository's configuration of a gate; the command may be None."""

    command: GateCommand | None
    folder: str
    timeout_s: float | None
    minimum: float | None
    report: str | None
    network: bool
    not_applicable: str


def configured(config: RepoConfig, gate: str) -> tuple[Configured, ...]:
    """Return the configured entries of a gate; empty if the repository does not name it."""
    source = config.location("gates").partition(" ")[0]
    return tuple(_entries(config.gates.of(gate), source))


def is_settled(entries: Iterable[Configured]) -> bool:
    """Return whether a gate's entries define its commands, so that no detector is asked."""
    return any(entry.command or entry.not_applicable for entry in entries)


def _entries(options: tuple[GateOptions, ...], source: str) -> Iterator[Configured]:
    for entry in options:
        report = entry.report if isinstance(entry, CoverageOptions) else None
        minimum = entry.minimum if isinstance(entry, CoverageOptions) else None
        command = entry.command and GateCommand(entry.command, report=report, source=source)
        yield Configured(
            command or None,
            entry.folder or "",
            entry.timeout,
            minimum,
            report,
            entry.network,
            entry.not_applicable or "",
        )
