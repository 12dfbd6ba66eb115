"""The benchmarks' arguments, results and page, without a measurement."""

from __future__ import annotations

import json
import re
import socket
import threading
from importlib import import_module
from pathlib import Path

import pytest

from tests.bench import page, plots, results
from tests.bench.__main__ import LIMITS
from tests.bench.peers import load, stacks
from tests.bench.targets import TARGETS

MODULES = [*(f"tests.bench.{name}" for name in LIMITS), "tests.bench.peers.__main__"]
HERE = Path(stacks.__file__).parent


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    return tmp_path / "results"


@pytest.mark.parametrize("module", MODULES)
def test_the_arguments_of_a_benchmark_are_numbers_with_defaults(module, capsys):
    main = import_module(module).main
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    options = re.findall(r"^  (--[a-z-]+) [A-Z_]+", capsys.readouterr().out, re.MULTILINE)
    assert options
    for wrong in ("0", "-1", "many"):
        with pytest.raises(SystemExit) as refused:
            main([options[0], wrong])
        assert refused.value.code == 2
        assert options[0] in capsys.readouterr().err


def test_all_benchmarks_together_take_less_than_half_an_hour():
    assert sum(LIMITS.values()) <= 25 * 60


def saved() -> None:
    """Write results of two benchmarks: one target is met, one is missed."""
    spawn = "spawn, 1 connection: rate"
    figures = [
        results.figure(f"{spawn}, {stacks.OURS}", "1/s", 100, 120, 90),
        results.figure(f"{spawn}, {stacks.FASTIFY}", "1/s", 100, 100, 100),
    ]
    ratio = results.ratio(f"{spawn}, ours / {stacks.FASTIFY}", [120, 90, 130], [100, 100, 100])
    results.save("peers", figures, [ratio], notes=["a tool was not measured: it is absent."])
    results.save("kill", [results.figure("kill-all to last death, seen from outside", "ms", 900)])


def test_results_are_read_as_they_were_saved(folder):
    saved()
    document = json.loads((folder / "peers.json").read_text())
    keys = {"name", "at", "machine", "versions", "figures", "ratios", "notes"}
    assert document.keys() == keys
    assert json.loads((folder / "kill.json").read_text()).keys() == keys
    (ratio,) = document["ratios"]
    assert (ratio["median"], ratio["low"], ratio["high"]) == (1.2, 0.9, 1.3)
    assert results.read_all(folder)["peers"].ratios[0].samples == (1.2, 0.9, 1.3)


def test_a_ratio_needs_both_sides_of_every_pair():
    with pytest.raises(ValueError, match="shorter"):
        results.ratio("x", [1.0, 2.0], [1.0])


def test_the_page_has_every_target_met_missed_or_not_measured(folder, tmp_path):
    saved()
    page.main(["--results", str(folder), "--docs", str(tmp_path)])
    text = (tmp_path / "performance.md").read_text()
    rows = re.findall(r"^\| .* \| (met|missed|not measured) \|$", text, re.MULTILINE)
    assert len(rows) == len(TARGETS)
    assert (rows.count("met"), rows.count("missed")) == (1, 1)
    assert "1.20 (0.90 to 1.30)" in text
    # Each missed one stands there with what limits it.
    reasons = " ".join(text.partition("### What limits a missed target")[2].split())
    assert "200 agents, request to last death, ms" in reasons
    assert "`growth` has not run" in reasons


def test_the_figures_have_a_page_of_their_own(folder, tmp_path):
    saved()
    page.main(["--results", str(folder), "--docs", str(tmp_path)])
    targets, figures = (tmp_path / f"{name}.md" for name in ("performance", "performance-figures"))
    text = figures.read_text()
    assert "A tool was not measured: it is absent." in text
    assert "| kill-all to last death, seen from outside | ms | 900 | 1 |" in text
    assert "](img/performance-spawn.svg)" in targets.read_text()
    assert (tmp_path / "img/performance-spawn.svg").read_text().startswith("<svg ")
    assert "900 | 1 |" not in targets.read_text()
    for one, other in ((targets, figures), (figures, targets)):
        assert f"]({other.name})" in one.read_text()


def test_without_results_the_page_says_what_to_run(tmp_path, capsys):
    with pytest.raises(SystemExit):
        page.main(["--results", str(tmp_path), "--docs", str(tmp_path)])
    assert "make bench" in capsys.readouterr().err


def test_every_figure_of_a_target_has_a_source_or_says_that_there_is_none():
    names = {*LIMITS, "peers"}
    for target in TARGETS:
        assert target.reason
        sources = [target.source, target.ours, target.peer]
        assert {name for name, _ in sources if name} <= names, target


def test_a_plot_shows_text_as_text():
    bar = plots.Bar("<b>&", results.figure("x", "ms", 1.0), is_ours=True)
    drawn = plots.draw("a < b", [bar])
    assert "&lt;b&gt;&amp;" in drawn
    assert "<b>" not in drawn


def served(*answers: bytes) -> int:
    """Answer one request for each text on one connection; returns the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            for answer in answers:
                connection.recv(65_536)
                # In pieces, as a network delivers them.
                connection.sendall(answer[:20])
                connection.sendall(answer[20:])

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


def test_the_load_counts_every_status_and_body():
    answer = "HTTP/1.1 {} X\r\nContent-Length: 2\r\n\r\n{}"
    port = served(*(answer.format(*one).encode() for one in ((201, "ab"), (503, "cd"))))
    run = load.send_all(port, [load.message("GET", "/")] * 2, connections=1)
    assert run.statuses == {201: 1, 503: 1}
    assert run.bodies == [b"ab", b"cd"]
    assert len(run.latencies_ms) == 2


def test_the_load_refuses_what_it_cannot_count():
    port = served(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    with pytest.raises(ConnectionError, match="no length"):
        load.send_all(port, [load.message("GET", "/")], connections=1)


def test_a_service_that_hangs_up_is_an_error():
    with pytest.raises(ConnectionError):
        load.send_all(served(), [load.message("GET", "/")], connections=1)


def test_the_versions_of_the_other_services_are_pinned():
    pinned = json.loads((HERE / "package.json").read_text())["dependencies"].values()
    lines = (HERE / "requirements.txt").read_text().splitlines()
    pinned = [*pinned, *(line.partition("==")[2] for line in lines if not line.startswith("#"))]
    assert all(re.fullmatch(r"[\d.]+", version) for version in pinned)
