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
    ("deno.jsonc", "Deno", r"\.(?:ts|tsx|js)$"),
    ("Makefile.PL", "Perl", r"\.t$"),
    ("Build.PL", "Perl", r"\.t$"),
    ("dist.ini", "Perl", r"\.t$"),
    ("MODULE.bazel", "Bazel", r"(?!)"),
    ("WORKSPACE", "Bazel", r"(?!)"),
    ("project.clj", "Clojure", r"\.cljc?$"),
    ("deps.edn", "Clojure", r"\.cljc?$"),
    ("pubspec.yaml", "Dart", r"\.dart$"),
    ("stack.yaml", "Haskell", r"\.hs$"),
    ("dune-project", "OCaml", r"\.ml$"),
    ("rebar.config", "Erlang", r"\.erl$"),
    ("Project.toml", "Julia", r"\.jl$"),
    ("DESCRIPTION", "R", r"\.[Rr]$"),
    ("build.zig", "Zig", r"\.zig$"),
)
_PROJECT_FILE = re.compile(r"\.(?:csproj|fsproj|vbproj|sln|slnx|cabal|gemspec)$")
_OF_DOTNET = re.compile(r"\.(?:cs|fs|vb)(?:proj)?$")
_NAMED_TEST = re.compile(r"(?:Tests?|_test|_spec|Spec|[.]test)\.\w+$|\.t$")
#: Files of programs that run recipes, and how a recipe for a gate begins there.
_RUNNERS = {
    **dict.fromkeys(
        ("justfile", "Justfile", ".justfile"), r"^@?(?:test|check|lint)\w*\b[^:=]*:(?!=)"
    ),
    **dict.fromkeys(("Taskfile.yml", "Taskfile.yaml"), r"^  (?:test|check|lint)[\w:-]*:"),
    **dict.fromkeys(("mise.toml", ".mise.toml"), r"^\[tasks\.[\"']?(?:test|check|lint)"),
}
_BATS = re.compile(r"\.bats$")


class Unsupported:
    """Detects by the files of other ecosystems' build tools."""

    def folders(self, paths: Collection[str]) -> Iterable[str]:
        """Return the folders of packages of such an ecosystem."""
        others = {path.rpartition("/")[0] for path in paths if _PROJECT_FILE.search(path)}
        bats = {path.rpartition("/")[0] for path in paths if _BATS.search(path)}
        return folders_with({*_RUNNERS, *(name for name, _, _ in _KINDS)}, paths) | others | bats

    def detect(self, files: BaseFiles) -> Detected:
        """Name the unsupported package; the folders below belong to it."""
        found = tuple(_found(files))
        if all(entry.path in _RUNNERS or _BATS.search(entry.path) for entry in found):
            return Detected(not_judged=found, has_tests=False)
        below = frozenset(self.folders(files.paths)) - {""}
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
            ending = path.rpartition(".")[2]
            yield _not_judged(path, ending, has_tests=_has_dotnet_tests(files.paths))
    for path, recipe in _RUNNERS.items():
        if re.search(recipe, files.text(path), re.MULTILINE):
            yield NotJudged(path=path, reason="no gate runs its recipes for tests and checks")
    if bats := sorted(path for path in files.paths if "/" not in path and _BATS.search(path)):
        reason = "no detector knows how to run tests of Bats"
        yield NotJudged(path=bats[0], gate="tests", reason=reason)


def _has_dotnet_tests(paths: Collection[str]) -> bool:
    return any(
        _OF_DOTNET.search(path) and (is_in_test_folder(path) or _NAMED_TEST.search(path))
        for path in paths
    )


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
