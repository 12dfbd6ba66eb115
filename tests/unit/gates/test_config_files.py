"""`orchestrator.gates.config_files`: by name, and by what the base's configuration names."""

from __future__ import annotations

import pytest

from orchestrator.gates.config_files import CONFIG_PATH, configured_files
from orchestrator.models import GateProfile
from tests.unit.gates.cheats.judging import Case, Judge, Repository

NAMES = (
    ".coveragerc", ".prettierrc", ".prettierrc.json", "prettier.config.mjs", ".prettierignore",
    ".editorconfig", ".stylelintrc.json", ".oxlintrc.json", "biome.json", "biome.jsonc",
    "deno.json", ".xo-config.json", "tslint.json", ".jshintrc", ".shellcheckrc", ".yamllint",
    ".markdownlint.json", ".hadolint.yaml", "cspell.json", ".codespellrc", ".isort.cfg", ".bandit",
    ".pydocstyle", ".importlinter", "rustfmt.toml", ".rustfmt.toml", "deny.toml", "revive.toml",
    "staticcheck.conf", ".rubocop.yml", "ty.toml", "pyrefly.toml", ".sqlfluff", ".clang-tidy",
    ".semgrep.yml", "knip.json", ".ignore", "buf.yaml", ".tflint.hcl", ".ansible-lint",
    ".vale.ini", ".luacheckrc", "jsconfig.json", "tsconfig.base.json", "web/karma.conf.js",
    "wdio.conf.ts", "testem.js", "bunfig.toml", "jest.config.ts", "phpstan.neon",
)  # fmt: skip
OTHERS = (
    "jest.md", "docs/vite.svg", "src/ava.ts", "prettier.md", "src/karma.js", "config.json", "ty.py",
    "src/lint.ts", ".gitignore", ".dockerignore", ".nvmrc", ".envrc", "stylelint.py", "data.json",
    "knip.ts", "src/editorconfig.py", "lint/rules.py", ".releaserc",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_configuration_of_a_check_is_known_by_its_name(name):
    assert CONFIG_PATH.search(name)


@pytest.mark.parametrize("name", OTHERS)
def test_another_file_is_none(name):
    assert not CONFIG_PATH.search(name)


@pytest.mark.parametrize(
    ("path", "text", "named"),
    [
        ("tsconfig.json", '{"extends": "./config/base.json"}', "config/base.json"),
        ("web/tsconfig.json", '{"extends": ["../config/base"]}', "config/base.json"),
        ("ruff.toml", "extend = 'lint/base.toml'\n", "lint/base.toml"),
        ("mypy.ini", "[mypy]\nplugins = ci/plug.py\n", "ci/plug.py"),
        ("pyproject.toml", "[tool.mypy]\nplugins = [\n  'a.b',\n  'ci.plug',\n]\n", "ci/plug.py"),
        (".pylintrc", "load-plugins=ci.plug\n", "ci/plug.py"),
        ("eslint.config.js", "const r = require('./rules');\n", "rules/index.js"),
        ("eslint.config.mjs", "import r from './rules/index.js';\n", "rules/index.js"),
        (".eslintrc.yml", "extends: ./rules/index.js\n", "rules/index.js"),
        ("package.json", '{"eslintConfig": {"extends": "./rules"}}', "rules/index.js"),
    ],
)  # fmt: skip
def test_a_file_that_the_configuration_names_is_found(path, text, named):
    files = {
        path: text,
        **dict.fromkeys(("config/base.json", "lint/base.toml", "ci/plug.py", "rules/index.js"), ""),
    }
    assert set(configured_files(lambda at: files[at].encode(), files)) == {named}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("tsconfig.json", '{"include": ["./index.ts"], "files": ["data.json"]}'),
        ("vite.config.ts", "import { version } from './package.json';\nimport './src/a.ts';\n"),
        ("settings.json", '{"extends": "./data.json"}'),
        ("pyproject.toml", "[tool.x]\nextra = 'data.json'\n"),
    ],
)
def test_a_part_of_the_program_is_not(path, text):
    files = {path: text, **dict.fromkeys(("index.ts", "data.json", "package.json", "src/a.ts"), "")}
    assert not set(configured_files(lambda at: files[at].encode(), files))


def test_a_module_that_a_plugin_imports_is_a_program_of_the_gate(tmp_path):
    plugin = (
        "import sys\n\nfrom mypy.plugin import Plugin\n\nsys.path.insert(0, 'ci')\n"
        "import rules\n\n\n"
        "def plugin(version):\n    return Plugin\n"
    )
    base = Repository(
        "a plugin of mypy",
        {
            "orchestrator.toml": '[gates]\ntypecheck = "mypy ."\n',
            "mypy.ini": "[mypy]\nplugins = ci/plug.py\n",
            "ci/plug.py": plugin,
            "ci/rules.py": "X = 1\n",
            "calc.py": "X: int = 1\n",
        },
    )
    ends = "import os\n\nprint('Success', flush=True)\nos._exit(0)\n"
    case = Case("ends the check", base, {"ci/rules.py": ends, "calc.py": "X: int = ''\n"})
    report = Judge.build(tmp_path, "typecheck").report(case, GateProfile.STRICT)
    assert [gate.status.value for gate in report.gates] == ["passed"]
    assert "gate-command-edited" in {finding.kind for finding in report.findings}
    assert not report.approved
