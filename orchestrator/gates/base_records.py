"""The runs of gates on base commits that this host remembers, under `base-records/` of its home."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.gates.run_record import RunRecord
from orchestrator.host.environment import host_environment
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.log import get_logger
from orchestrator.models import GateStatus
from orchestrator.settings import Settings
from orchestrator.workspace.disk import locked

#: It changes when the meaning of a record changes.
_FORMAT = 1
#: The limits of the folder; the oldest records are removed first.
_MOST_KEPT, _MOST_BYTES = 256, 128 * 2**20
#: Tools and services of a host may change at any time, so a record is used for a limited time.
_VALID_S = 4 * 3600.0
#: A tool that does not start, or a time limit, may be a passing fault of the host.
_FAULT_VALID_S = 600.0
_FAULTS = frozenset({GateStatus.ERRORED, GateStatus.TIMED_OUT, GateStatus.MISSING})
#: The number of lock files; each serves many records.
_STRIPES = 256
_WAIT_S = 0.5

log = get_logger("gates")


class BaseRecord(BaseModel):
    """The runs of one command of a gate on one base commit, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    looks: tuple[RunRecord, ...] = Field(min_length=1)
    #: When they were made, in seconds since 1970.
    at: float
    #: What ran, for people.
    base: str = ""
    gate: str = ""
    command: str = ""

    @property
    def has_passed(self) -> bool:
        """Whether one of the runs passed: the base is green, or not reliably red."""
        return any(look.status.is_pass for look in self.looks)

    @property
    def is_red(self) -> bool:
        """Whether each run failed by itself, so that its failures were there before the change."""
        return all(look.status is GateStatus.FAILED for look in self.looks)

    @property
    def cannot_run(self) -> bool:
        """Whether the command cannot run on the base, so that no change could pass."""
        return all(look.status is GateStatus.ERRORED for look in self.looks)

    @property
    def is_fault(self) -> bool:
        """Whether a run could not be made, or was ended by a time limit."""
        return any(look.status in _FAULTS for look in self.looks)


@dataclass(frozen=True)
class BaseRecords:
    """The records of this host; agents that need the same one wait for one run."""

    settings: Settings
    #: The level of the sandbox in which the gates run.
    level: str
    #: Returns the image with the programs of the gates; empty if they are this host's.
    image: Callable[[], str] = lambda: ""
    clock: Callable[[], float] = time.time

    def of_one_run(self) -> BaseRecords:
        """Return these records for one run, which asks for the image only once."""
        return replace(self, image=cache(self.image))

    def find(
        self, base: str, gate: PlannedGate, environment: Environment | None
    ) -> BaseRecord | None:
        """Return the record of a command on a base commit; None if there is no valid one."""
        return self._read(self._path(base, gate, environment))

    def get(
        self,
        base: str,
        gate: PlannedGate,
        environment: Environment | None,
        run: Callable[[], tuple[RunRecord, ...]],
        check: Callable[[], None],
    ) -> BaseRecord:
        """Return the record of a command on a base commit; make it with `run` if there is none.

        While another agent makes it, `check` is called, and what it raises ends the wait. What
        `run` raises is raised here, and nothing is recorded.
        """
        path = self._path(base, gate, environment)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = path.parent / f"{int(path.stem[:8], 16) % _STRIPES}.lock"
        while True:
            check()
            with suppress(BlockingIOError), locked(lock, wait_s=_WAIT_S):
                found = self._read(path)
                if found is None:
                    found = BaseRecord(
                        looks=run(),
                        at=self.clock(),
                        base=base,
                        gate=gate.name,
                        command=gate.command or "",
                    )
                    self._write(path, found)
                return found

    def all(self) -> tuple[BaseRecord, ...]:
        """Return the valid records, the newest first."""
        found = [record for path in self._paths() if (record := self._read(path))]
        return tuple(sorted(found, key=lambda record: -record.at))

    def forget(self, base: str = "") -> int:
        """Remove the records of the base commits whose id begins so, or all; return their number.

        The records of another version, which no run uses, are removed with all.
        """
        count = 0
        for path in self._paths():
            record = self._read(path)
            # A record of an earlier version does not say its base.
            if not base or (record and (not record.base or record.base.startswith(base))):
                path.unlink(missing_ok=True)
                count += 1
        return count

    def _paths(self) -> tuple[Path, ...]:
        return tuple((self.settings.home / "base-records").glob("*.json"))

    def _path(self, base: str, gate: PlannedGate, environment: Environment | None) -> Path:
        settings = self.settings
        facts = {
            "format": _FORMAT,
            "base": base,
            # A hint and a source change nothing of the run.
            "gate": asdict(replace(gate, hint="", source="")),
            "environment": environment.root.name if environment else "",
            "level": self.level,
            "image": str((environment and environment.image) or self.image()),
            "host": host_environment(settings),
            "hosts": settings.egress_hosts,
            "refs": settings.checkout_refs,
            "submodules": settings.submodules,
        }
        text = json.dumps(facts, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return settings.home / "base-records" / f"{digest}.json"

    def _read(self, path: Path) -> BaseRecord | None:
        try:
            record = BaseRecord.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            # Absent, written by another version, or lost by a power failure: it is made anew.
            return None
        age_s = self.clock() - record.at
        limit_s = _FAULT_VALID_S if record.is_fault else _VALID_S
        return record if 0 <= age_s <= limit_s else None

    def _write(self, path: Path, record: BaseRecord) -> None:
        """Store a record; without space it is not stored, and the next agent makes it again."""
        try:
            descriptor, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
            part = Path(name)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(record.model_dump_json().encode())
                part.rename(path)
            finally:
                part.unlink(missing_ok=True)
            self._trim(path.parent)
        except OSError as error:
            log.warning("the run of a base was not stored", reason=str(error))

    def _trim(self, folder: Path) -> None:
        kept: list[tuple[float, int, Path]] = []
        for path in (*folder.glob("*.json"), *folder.glob("*.part")):
            with suppress(FileNotFoundError):
                facts = path.stat()
                kept.append((facts.st_mtime, facts.st_size, path))
        total = 0
        for number, (_, size, path) in enumerate(sorted(kept, reverse=True)):
            total += size
            if number >= _MOST_KEPT or total > _MOST_BYTES:
                path.unlink(missing_ok=True)
