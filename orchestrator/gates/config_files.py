"""Which files configure checks by their names, and which others the base's configuration names."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Collection, Iterator

from orchestrator.gates.check_files import TEST_CONFIG
from orchestrator.gates.tool_config import parts_of_checks
from orchestrator.repo_config import ReadFile

#: The names of the configuration of linters, formatters, type checkers, test runners and coverage.
CONFIG_PATH = re.compile(
    r"(^|/)(\.coveragerc|\.flake8|\.?ruff\.toml|\.?mypy\.ini|\.?pytest\.(ini|toml)|tox\.ini"
    r"|(pyright|basedpyright|ty|pyrefly)(config)?\.(json|toml)|\.pyre_configuration[^/]*"
    r"|\.?eslint(rc|\.config)[^/]*|(ts|js)config[^/]*\.json|\.nycrc[^/]*|\.c8rc[^/]*"
    r"|(jest|vitest|vite|karma|wdio|nightwatch|codecept|ava)\.conf(ig)?\.[^/]+"
    r"|(testem|jasmine)\.([cm]?js|json|ya?ml)"
    r"|\.mocharc[^/]*|\.taprc|bunfig\.toml|\.golangci\.[^/]+|staticcheck\.conf|\.?revive\.toml"
    r"|\.?(clippy|rustfmt|deny)\.toml|\.npmrc|\.yarnrc(\.yml)?|\.pnpmfile\.cjs|\.eslintignore"
    r"|\.?pylintrc(\.toml)?|\.cargo/config(\.toml)?|biome\.jsonc?|deno\.jsonc?|dprint\.jsonc?"
    # A name in which a dot and `lint` come first: .stylelintrc, .yamllint, .oxlintrc.json.
    r"|\.[\w-]{0,50}lint(rc|ignore)?(\.[^/]+)?|(ts|css|sql|html|yaml)lint\.(json|ya?ml|toml|cfg)"
    r"|\.(prettier|jshint|jscs|xo-config|markdownlint|rubocop|clang-tidy|clang-format|bandit"
    r"|pydocstyle|isort|importlinter|codespell|cspell|sqlfluff|semgrep|shellcheck|luacheck|vale"
    r"|hadolint|spectral|htmlhint|textlint)[^/]*|(prettier|stylelint|xo|knip|cspell)"
    r"\.(config\.[^/]+|jsonc?|ya?ml)"
    r"|eslint-local-rules(\.[cm]?[jt]s|/index\.[cm]?[jt]s)|\.?lint-?staged(rc|\.config)[^/]*"
    r"|\.(size-limit|dependency-cruiser|depcheckrc|jscpd|remarkrc|remarkignore)[^/]*"
    # The names that pyright knows without an import; configuration of Flow, Elixir, Python, jest.
    r"|__builtins__\.pyi|\.flowconfig|\.(credo|formatter|dialyzer_ignore)\.exs|\.yapfignore"
    r"|\.style\.yapf|pytype\.cfg|\.watchmanconfig"
    r"|\.editorconfig|\.ignore|(phpstan|psalm|phpcs|checkstyle|detekt|buf)[\w.-]*\.(neon|xml|ya?ml))$"
)
#: The parts of a configuration that name files which a check reads or runs.
_PARTS = re.compile(
    r"""\b(?:extends?|plugins|jsPlugins|rulesDirectory|load-plugins)["']?[ \t]{0,20}[:=]\s{0,20}"""
    r"(\[[^\]]{0,2000}\]|[^\n]{0,500})"
)
#: The parts of jest, vitest, mocha and ava that name modules which run with the tests, or instead
#: of the runner. A list may be one of JSON, JavaScript or YAML.
_LOADED = re.compile(
    r"\b(?:setupFiles(?:AfterEnv)?|setupTestFrameworkScriptFile|global(?:Setup|Teardown)"
    r"|testEnvironment|environment|presets|testRunner|runner|reporters?|transform|resolver|preset|filter"
    r"|snapshot(?:Serializers|Resolver|Environment)|(?:test)?[sS]equencer|testResultsProcessor"
    r"|dependencyExtractor|hasteImplModulePath|customProviderModule|pool|diff"
    r"|require|import|file|loader|ui|node-?[oO]ptions?)[\"']?[ \t]{0,20}:\s{0,20}"
    r"(\[[^\]]{0,2000}\]|\{[^}]{0,2000}\}|[^\n]{0,500}(?:\n[ \t]{0,20}-[^\n]{0,500}){0,50})"
)
_ROOT = "<rootDir>/"
#: The plugins of pytest, by an option and by a variable.
_ADDED = re.compile(r"(?:\s|[\"'=])-p[ \t\"',=]{0,9}([\w.]{1,200})")
_PLUGINS = re.compile(
    r"\bpytest_plugins\b[^=\n]{0,99}=\s{0,20}([\[(][^\])]{0,2000}[\])]|[^\n]{0,500})"
)
_PYTEST = re.compile(r"(^|/)(\.?pytest\.(ini|toml)|tox\.ini|setup\.cfg|pyproject\.toml)$")
#: The plugins of flake8 in the tree, and the folders in which it looks for them.
_LOCAL_PLUGINS = re.compile(r"^\[flake8:local-plugins\]([^\[]{0,5000})", re.MULTILINE)
_WORD = re.compile(r"""[^\s"',;=\[\]{}]{1,300}""")
_IMPORTED = re.compile(
    r"""(?:require\(|\bfrom\b|\bimport\b\(?)\s{0,9}["'](\.{1,2}/[^"'\n]{1,300})["']"""
)
#: What may follow a name in an `extends`, an import or a list of plugins.
_ENDINGS = ("", ".json", ".js", ".cjs", ".mjs", ".ts", "/index.js", "/index.ts", "/tsconfig.json",
            ".py", "/__init__.py")  # fmt: skip
#: They contain parts of checks, and are no configuration as a whole.
_MANIFESTS = frozenset({"pyproject.toml", "setup.cfg", "package.json"})
_CONFTEST = "conftest.py"
_MOST_FILES = 200
_MOST_CHARACTERS = 2**18


def configured_files(read: ReadFile, paths: Collection[str]) -> Iterator[str]:
    """Yield the files of the base commit that its configuration of checks extends or loads.

    A file below `src/` or `lib/` is part of the program, and a manifest has parts of its own.
    """
    roots = (
        p
        for p in sorted(paths)
        if CONFIG_PATH.search(p) or TEST_CONFIG.search(p) or posixpath.basename(p) in _MANIFESTS
    )
    for path in list(roots)[:_MOST_FILES]:
        text = (read(path) or b"")[:_MOST_CHARACTERS].decode(errors="replace")
        if posixpath.basename(path) == "package.json":
            text = _parts_of_checks(text)
        folder = posixpath.dirname(path)
        for word, at in _named(path, text):
            found = _found(word, posixpath.join(folder, at), paths)
            if found and found != path and not found.startswith(("src/", "lib/")):
                yield found


def _named(path: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield each word of a configuration that may name a file, and the folder that it is from."""
    name = posixpath.basename(path)
    if name == _CONFTEST:
        yield from ((word, "") for part in _PLUGINS.findall(text) for word in _WORD.findall(part))
        return
    yield from ((word, "") for part in _PARTS.findall(text) for word in _WORD.findall(part))
    yield from ((word, "") for word in _IMPORTED.findall(text))
    if name not in _MANIFESTS or name == "package.json":
        words = (word for part in _LOADED.findall(text) for word in _WORD.findall(part))
        yield from ((word.removeprefix(_ROOT), "") for word in words if "/" in word)
    if _PYTEST.search(path):
        yield from ((word, "") for word in _ADDED.findall(text))
    for part in _LOCAL_PLUGINS.findall(text):
        named = _WORD.findall(part)
        folders = ["", *(word for word in named if word.endswith("/"))]
        yield from ((word.partition(":")[0], at) for word in named if ":" in word for at in folders)


def _parts_of_checks(text: str) -> str:
    """Return the parts of a package.json that configure checks, as text."""
    try:
        return json.dumps(parts_of_checks(json.loads(text)))
    except (ValueError, AttributeError, RecursionError):
        return ""


def _found(word: str, folder: str, paths: Collection[str]) -> str:
    """Return the file that a word of a configuration in a folder names; empty if there is none."""
    names = [word, word.replace(".", "/")] if "/" not in word else [word]
    for name in names:
        at = posixpath.normpath(posixpath.join(folder, name))
        for path in (f"{at}{ending}" for ending in _ENDINGS):
            if path in paths and posixpath.basename(path) not in _MANIFESTS:
                return path
    return ""
