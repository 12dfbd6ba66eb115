"""The lines of a source that switch off a checker: no rule is named, or each one is. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

#: For files of these paths, what a line may not contain. The agent writes the text that these
#: expressions read: a run of blanks has a bound, or stays on its line.
RULES: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = (
    (
        re.compile(r"\.(pyi?|[cm]?[jt]sx?|go|rs|vue|svelte)$"),
        re.compile(
            # flake8 takes `noqa: why` as if it had no code, and a letter as all codes of a checker.
            r"(?i:#\s*noqa(?!\s*:\s*[a-z]+\d)"
            r"|#\s*(ruff|flake8)\s*:(?!\s*(ignore|disable|enable)\[\s*[a-z]+\d)"
            r"|#\s*(type|ty|pyrefly)\s*:\s*ignore(?!\[[^\]])"
            r"|#\s*(based)?pyright\s*:(?!\s*(ignore\[|strict))|#\s*mypy\s*:"
            # A letter is a category of pylint's messages.
            r"|#\s*pylint\s*:\s*skip-file"
            r"|#\s*pylint\s*:\s*disable(-next)?\s*=([\w\s,-]{0,99},)?\s*(all|[CREWFI])(?![\w-])"
            r"|#\s*pyre-(ignore-all-errors|(ignore|fixme)(?!\[))"
            r"|#\s*pytype\s*:\s*skip-file|#\s*nosec\b(?!\s*:?\s*[BG]\d)|#\s*isort\s*:\s*skip_file"
            r"|@([\w.]{1,99}\.)?no_type_check\b|\bno_type_check\s+as\b"
            r"|=\s*([\w.]{1,99}\.)?no_type_check\b|\bnosemgrep(?!\s*:))"
            # The name alone: coverage.py leaves out each block under it.
            r"|\bTYPE_CHECKING\b(\s*:\s*\w+)?\s*=(?!=|\s*(False|0)\b)|\bas\s+TYPE_CHECKING\b"
            # Without a name of a rule, also in an empty list, each rule is off.
            r"|(eslint|oxlint)-disable(-next-line|-line)?\s*(\*/|--|$|,|[\"']\s*[\"'])"
            r"|@ts-(nocheck|ignore)\b"
            r"|biome-ignore(-all|-start)?\s+(lint(/\w+)?|format)\s*:"
            r"|tslint:disable(-next-line|-line)?(?![-:\w])"
            r"|deno-lint-ignore(-file)?\s*(\*/|--|$)"
            r"|\$Flow(FixMe|Ignore|Issue|ExpectedError)(?!\[)|@noflow\b|jshint\s+ignore"
            r"|(istanbul|c8|v8|node:coverage)\s+(ignore|disable)|LCOV_EXCL"
            r"|//\s*nolint(?!:(?!\s*all\b))|//lint:(file-)?ignore\s+\S{0,99}\*"
            r"|//revive:disable(-(next-)?line)?(?![-:\w])"
            r"|#!\[(cfg_attr\(.{0,200}\b)?allow\(|#\[allow\((warnings|clippy::all)\b"
            r"|\bcoverage\(off\)|\btarpaulin_include\b"
            r"|^\s*//\s*(go:build|\+build)\s+(ignore|never)\b"
        ),
    ),
    # Tests of types expect errors; a source suppresses them.
    (
        re.compile(
            r"^(?!(.*[/._-])?(tests?|spec|test-d|__tests__)[/._-]).*\.([cm]?[jt]sx?|vue|svelte)$"
        ),
        re.compile(r"@ts-expect-error\b"),
    ),
    (re.compile(r"\.(sh|bash)$"), re.compile(r"#\s*shellcheck\s+disable=all\b")),
    (
        re.compile(r"\.(s?css|less|html?|md)$"),
        re.compile(r"(stylelint|markdownlint|htmlhint)-disable(-[a-z]+)*\s*(\*/|--|$)"),
    ),
    (re.compile(r"\.ya?ml$"), re.compile(r"#\s*yamllint\s+disable(-line|-file)?\s*$")),
    (
        re.compile(r"\.(rb|swift)$"),
        re.compile(r"(rubocop|swiftlint):(disable|todo)(:\w+)?\s+all\b"),
    ),
    (
        re.compile(r"\.php$"),
        re.compile(
            r"phpcs:(ignoreFile|disable)\s*(\*/|$)|@codingStandardsIgnore"
            r"|@phpstan-ignore-(next-)?line\b"
        ),
    ),
    (
        re.compile(r"\.(java|kts?)$"),
        re.compile(r"@SuppressWarnings\(\s*\{?\s*\"all\"|CHECKSTYLE:OFF|//\s*NOPMD\b"),
    ),
    (re.compile(r"\.sql$"), re.compile(r"--\s*noqa\s*($|:\s*disable=all)")),
    (
        re.compile(r"\.([ch]|cc|[ch]pp|[ch]xx)$"),
        re.compile(r"//\s*NOLINT(NEXTLINE|BEGIN)?(?![\w(])"),
    ),
)
#: A line for a checker, without which it checks less of the file.
_STRICTER = re.compile(
    r"^\s{0,9}(?://|/\*|\*)\s{0,9}@(?:ts-check|flow)\b"
    r"|^\s{0,9}#\s{0,9}(?:(?:based)?pyright\s{0,9}:\s{0,9}strict\b"
    r"|mypy\s{0,9}:\s{0,9}(?:strict|disallow|warn|check|enable|no-(?:implicit|any)))"
)


def no_longer_strict(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """Yield each line that has a checker check more of a file, and that is gone."""
    yield from filter(_STRICTER.match, Counter(before) - Counter(after))
