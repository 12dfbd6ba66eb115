"""Ecosystems whose checks this version cannot run: they are named, their tests are missing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from orchestrator.gates.detection import BaseFiles, Detected
from orchestrator.gates.detectors import folders_with, is_in_test_folder
from orchestrator.models import NotJudged

#: The file that makes a folder a package, the ecosystem, and the possible files of its tests.
_KINDS = (
    ("pom.xml", "Maven", r"\.(?:java|kt|scala)$"),
    ("build.gradle", "Gradle", r"\.(?:java|kt|groovy|scala)$"),
    ("build.gradle.kts", "Gradle", r"\.(?:java|kt|groovy|scala)$"),
    ("build.sbt", "sbt", r"\.scala$"),
    ("Gemfile", "Ruby", r"\.rb$"),
    ("Rakefile", "Ruby", r"\.rb$"),
    ("composer.json", "PHP", r"\.php$"),
    ("mix.exs", "Elixir", r"\.exs$"),
    ("Package.swift", "Swift", r"\.swift$"),
    ("CMakeLists.txt", "CMake", r"\.(?:c|cc|cpp|cxx)$"),
    ("meson.build", "Meson", r"\.(?:c|cc|cpp|cxx)$"),
    ("deno.json", "Deno", r"\.(?:ts|tsx|js)$"),
    ("pubspec.yaml", "Dart", r"\.dart$"),
    ("stack.yaml", "Haskell", r"\.hs$"),
    ("dune-project", "OCaml", r"\.ml$"),
    ("rebar.config", "Erlang", r"\.erl$"),
    ("Project.toml", "Julia", r"\.jl$"),
    ("DESCRIPTION", "R", r"\.[Rr]$"),
    ("build.zig", "Zig", r"\.zig$"),
)
_PROJECT_FILE = re.compile(r"\.(?:csproj|fsproj|sln|cabal|gemspec)$")
_NAMED_TEST = re.compile(r"(?:Tests?|_test|_spec|Spec|[.]test)\.\w+$")


class Unsupported:
    """Detects by the files of other ecosystems' build tools."""

    def folders(self, paths: Collection[str]) -> Iterable[str]:
        """Return the folders of packages of such an ecosystem."""
        others = {path.rpartition("/")[0] for path in paths if _PROJECT_FILE.search(path)}
        return folders_with({name for name, _, _ in _KINDS}, paths) | others

    def detect(self, files: BaseFiles) -> Detected:
        """Name the unsupported package; the folders below belong to it."""
        found = tuple(_found(files))
        if not found:
            return Detected()
        below = frozenset(folder for folder in self.folders(files.paths) if folder)
        return Detected(not_judged=found, members=below, has_tests=any(n.blocks for n in found))


def _found(files: BaseFiles) -> Iterator[NotJudged]:
    named = set[str]()
    for name, kind, suffix in _KINDS:
        if name in files.paths and kind not in named:
            named.add(kind)
            has_tests = any(
                re.search(suffix, path) and (is_in_test_folder(path) or _NAMED_TEST.search(path))
                for path in files.paths
            )
            yield _not_judged(name, kind, has_tests=has_tests)
    for path in sorted(files.paths):
        if "/" not in path and _PROJECT_FILE.search(path) and not named:
            yield _not_judged(path, path.rpartition(".")[2], has_tests=False)


def _not_judged(path: str, kind: str, *, has_tests: bool) -> NotJudged:
    return NotJudged(
        path=path,
        gate="tests",
        reason=f"no detector knows how to run a package of {kind}",
        blocks=has_tests,
    )


def build(settings: object) -> Unsupported:
    """Build the detector."""
    del settings
    return Unsupported()
