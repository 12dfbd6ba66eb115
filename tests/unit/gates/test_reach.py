"""`orchestrator.gates.reach`: the files that a gate's command runs through scripts and tasks."""

from __future__ import annotations

import pytest

from orchestrator.gates.reach import reached_files

JUDGE = "tools/judge.py"


def reached(files: dict[str, str], command: str, folder: str = "") -> frozenset[str]:
    encoded = {path: text.encode() for path, text in files.items()}
    return reached_files(encoded.get, encoded.keys(), [(folder, command)])


@pytest.mark.parametrize(
    "line",
    [
        "python tools/judge.py",
        "./tools/judge.py --all",
        "A=1 python3.12 tools/judge.py",
        'exec python tools/judge.py "$@"',
        "if ! python tools/judge.py; then exit 1; fi",
        "for each in a b; do python tools/judge.py; done",
        "make_list | python tools/judge.py",
        "./serve & python tools/judge.py",
        "found=$(python tools/judge.py)",
        "found=`python tools/judge.py`",
        "python \\\n  tools/judge.py",
        "uv run tools/judge.py",
        "uv run --with attrs tools/judge.py",
        "timeout 60 python tools/judge.py",
        "sudo -u judge $PYTHON tools/judge.py",
        "python -W error tools/judge.py",
        "coverage run --source shop tools/judge.py",
        "python -m coverage run tools/judge.py",
        "python -m tools.judge",
        "uv run python -m tools.judge",
        "coverage run -m tools.judge",
        "pytest -p tools.judge",
        "django-admin test --settings tools.judge",
        "django-admin test --settings=tools.judge",
        "flake8 --config=tools/judge.py",
        '"$PY" tools/judge.py',
        "${PYTHON:-python3} tools/judge.py",
        'python "$HERE/tools/judge.py"',
        'python "$(git rev-parse --show-toplevel)/tools/judge.py"',
        ". tools/judge.py",
        "bash -euc 'python tools/judge.py'",
        'cd "$(dirname "$0")/.."\npython tools/judge.py',
        "cd $ROOT && python tools/judge.py",
        "cd web && npm ci && cd .. && python tools/judge.py",
        "cd $ROOT/tools && ./judge.py",
        "(cd web && npm ci)\npython tools/judge.py",
        "(cd tools && ls && python judge.py)",
        "build() {\n  cd web\n  npm ci\n}\npython tools/judge.py",
        "pushd web; npm ci; popd; python tools/judge.py",
        "case $1 in all) python tools/judge.py;; esac",
        "cd tools; case $1 in all) ls;; esac; python judge.py",
        "cd tools\ncheck() {\n  ls\n}\npython judge.py",
    ],
)
def test_a_line_of_a_script_that_runs_a_program(line):
    files = {"ci/check.sh": line, JUDGE: "", "web/package.json": "{}"}
    assert reached(files, "sh ci/check.sh") == {"ci/check.sh", JUDGE}


@pytest.mark.parametrize(
    "line",
    [
        "mypy tools/judge.py",
        "mypy --strict tools/judge.py",
        "ruff check . tools/judge.py",
        "mypy $OPTIONS tools/judge.py",
        "uv run mypy tools/judge.py",
        "grep -c 'python tools/judge.py' log",
        "JUDGE=tools/judge.py mypy .",
        "pytest -m tools",
        "python -m pytest -m tools",
        "mypy -p tools",
        "mkdir -p tools/judge",
        "tsc -p web",
        "pytest -k tools.judge",
        "pip install -r requirements-dev.txt",
        "mypy --config-file pyproject.toml shop",
        "cd tools; cd ..; python judge.py",
        "apt-get install make",
        "pytest tests/test_judge.py && python tests/test_judge.py",
    ],
)
def test_what_a_check_reads_is_no_program(line):
    tools = dict.fromkeys((JUDGE, "tools/__init__.py", "tools/judge/__init__.py"), "")
    files = {**tools, "requirements-dev.txt": "", "pyproject.toml": "", "tests/test_judge.py": ""}
    files |= {"web/index.js": "", "Makefile": f"all:\n\tpython {JUDGE}\n"}
    assert reached({"check.sh": line, **files}, "sh check.sh") == {"check.sh"}


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("make -C ci check", {"ci/Makefile": "check: ; python judge.py"}),
        ("make --directory=ci", {"ci/Makefile": "check: ; python judge.py"}),
        ("make check", {"Makefile": "check:\n\t$(MAKE) -C ci", "ci/Makefile": "a: ; sh judge.py"}),
        ("make check", {"Makefile": "check:\n\tcd ci && $(PYTHON) judge.py"}),
        ("env make", {"Makefile": "check:\n\ttime python $(CURDIR)/ci/judge.py"}),
        ("cd web && make -C .. check", {"Makefile": "check: ; sh ci/judge.py", "web/a": ""}),
        ("make -C web", {"web/Makefile": "include rules", "web/rules": "a: ; sh ../ci/judge.py"}),
        ("npm --prefix ci test", {"ci/package.json": '{"scripts": {"test": "node judge.py"}}'}),
        ("yarn --cwd ci test", {"ci/package.json": '{"scripts": {"test": "make judge.py"}}',
                                "ci/Makefile": "judge.py:\n\tpython judge.py"}),
        ("./ci/run", {"ci/run": "#!/bin/sh\nexec make all", "Makefile": "all: ; sh ci/judge.py"}),
        ("sh -c ./ci/run.sh", {"ci/run.sh": "tox", "tox.ini": "commands = python -m ci.judge"}),
        ("nice ./ci/run.sh", {"ci/run.sh": "python ci/judge.py"}),
        ("uvx --from tox tox", {"tox.toml": "commands = [['coverage', 'run', 'ci/judge.py']]"}),
        ("nox", {"noxfile.py": "session.run('python', 'ci/judge.py')"}),
        ("nox", {"noxfile.py": "session.run('./ci/run')", "ci/run": "sh judge.py"}),
        ("poe check", {"pyproject.toml": "[tool.poe.tasks]\ncheck = 'python ci/judge.py'"}),
        *(
            (command, {"ci/package.json": '{"name": "@x/ci", "scripts": {"unit": "sh judge.py"}}'})
            for command in (
                *("npm -w @x/ci run unit", "npm run unit --workspace=@x/ci"),
                *("pnpm -F @x/ci unit", "pnpm --filter @x/ci run unit", "pnpm --filter=@x/ci unit"),
                *("yarn workspace @x/ci unit", "yarn workspace @x/ci run unit"),
                "bun --filter @x/ci unit",
            )
        ),
        ("just", {"justfile": "check:\n  python ci/judge.py"}),
    ],
)  # fmt: skip
def test_a_program_that_another_tool_runs(command, files):
    assert "ci/judge.py" in reached({**files, "ci/judge.py": ""}, command)


@pytest.mark.parametrize(
    ("command", "path"), [("invoke test", "tasks.py"), ("rake", "Rakefile"), ("$(TOX)", "tox.ini")]
)
def test_a_file_of_tasks_is_a_program_and_not_all_that_it_names(command, path):
    text = "deps = -r dev.txt\ncommands = mypy shop/cart.py\n"
    files = {path: text, "dev.txt": "", "shop/cart.py": ""}
    assert reached(files, command) == {path}


def test_a_file_that_a_makefile_includes_is_a_part_of_it():
    assert reached({"web/Makefile": "include rules\n", "web/rules": ""}, "make -C web")


def test_a_target_with_the_name_of_a_folder_runs_nothing_there():
    makefiles = {"Makefile": "web:\n\tsh build.sh\n", "web/Makefile": "all:\n\tsh web.sh\n"}
    assert reached({**makefiles, "build.sh": "", "web/web.sh": ""}, "make web") == {"build.sh"}


@pytest.mark.parametrize(
    ("path", "text", "named"),
    [
        (JUDGE, "import rules\n", "tools/rules.py"),
        (JUDGE, "from tools import rules\n", "tools/rules.py"),
        (JUDGE, "from . import rules\n", "tools/rules.py"),
        (JUDGE, "from tools.rules import all_of\n", "tools/rules.py"),
        (JUDGE, "from rules import all_of\n", "tools/rules/__init__.py"),
        (JUDGE, "from rules import all_of\n", "tools/rules/all_of.py"),
        (JUDGE, "run(['sh', 'ci/check.sh'])\n", "ci/check.sh"),
        (JUDGE, 'load("limits.yaml")\n', "tools/limits.yaml"),
        ("judge.py", "run('ci/check.sh')\n", "ci/check.sh"),
        ("ci/judge.mjs", "import './rules.mjs';\n", "ci/rules.mjs"),
        ("ci/judge.js", "const rules = require('../rules');\n", "rules.js"),
        ("ci/judge.ts", "import { rules } from './rules';\n", "ci/rules.ts"),
    ],
)
def test_a_file_that_a_program_loads_is_a_part_of_it(path, text, named):
    """A program in a folder of tools, in Python or in JavaScript."""
    files = {path: text, named: ""}
    assert reached(files, f"exec {'python' if path.endswith('.py') else 'node'} {path}") == {*files}


@pytest.mark.parametrize(
    ("path", "text", "other"),
    [
        ("judge.py", "import shop\n", "shop.py"),
        (JUDGE, "import shop\n", "shop.py"),
        (JUDGE, "from shop.cart import total\n", "cart.py"),
        (JUDGE, "run('shop.py')\n", "shop.py"),
        ("ci/judge.js", "require('../src/cart');\n", "src/cart.js"),
        ("ci/judge.js", "require('cart');\n", "ci/cart.js"),
        ("run.rb", "sh other.sh\n", "other.sh"),
    ],
)
def test_what_the_program_tests_is_no_part_of_it(path, text, other):
    files = {path: text, other: ""}
    assert reached(files, f"ruby {path}") == {path}


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("node -r ./ci/hook --test", "ci/hook.js"),
        ("mocha --require=./ci/hook", "ci/hook/index.js"),
        ("mocha -r ci/hook", "ci/hook.js"),
        ("jest --config ./ci/hook", "ci/hook.json"),
        ("mocha --require ci/hook.js", "ci/hook.js"),
        ("mocha --reporter=ci/hook.js", "ci/hook.js"),
    ],
)
def test_what_an_option_loads_with_its_suffix_or_without(command, named):
    assert reached({named: "", "hook.js": ""}, command) == {named}
    assert not reached({"ci/hook.js": ""}, "jest --config ci/hook")
    assert not reached({"ci/hook.js": ""}, "jest ./ci/hook")


@pytest.mark.parametrize("folder", ["", "web"])
def test_a_module_may_be_in_the_folder_of_sources(folder):
    at = f"{folder}/" if folder else ""
    for path in ("src/shop/check.py", "src/shop/check/__main__.py", "shop/check/__init__.py"):
        assert reached({f"{at}{path}": ""}, "python -m shop.check", folder) == {f"{at}{path}"}


def test_a_make_that_calls_itself_ends():
    makefile = "all:\n\tsh a.sh\n\tmake all\n"
    assert reached({"Makefile": makefile, "a.sh": "make all\n"}, "make all") == {"a.sh"}


def test_the_work_for_one_plan_is_limited():
    """A repository that generates its scripts may have very many."""
    scripts = {f"ci/{n:04}.sh": f"sh ci/{n + 1:04}.sh\n" for n in range(1000)}
    assert len(reached(scripts, "sh ci/0000.sh")) < 300
    long = {"ci/long.sh": "echo a b c\n" * 10_000 + "sh late.sh\n", "late.sh": ""}
    assert reached(long, "sh ci/long.sh") == {"ci/long.sh"}
    rules = "".join(f"t{n}:\n\tmake t{n + 1} N={n}\n" for n in range(350))
    assert not reached({"Makefile": rules}, "make t0")
