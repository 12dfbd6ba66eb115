"""The cost of an agent's tokens by the price table, whatever its program says."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

from orchestrator.agent_output.reader import OutputReader
from orchestrator.agent_output.usage_meter import UsageMeter
from orchestrator.interfaces.agent import Result, UsageReport
from orchestrator.interfaces.sandbox import Chunk
from orchestrator.models import Usage
from orchestrator.settings.prices import Price

PRICES = {
    "large": Price(input=10, output=50, cache_read=1, cache_write=12.5),
    "small": Price(input=1, output=5),
}


def report(message_id: str, model: str, tokens: int = 1000, **kind: bool) -> UsageReport:
    return UsageReport(message_id, Usage(output_tokens=tokens), model=model, **kind)


def test_each_message_costs_what_its_model_does():
    meter = UsageMeter(PRICES.get)
    meter.add(report("a", "large"))
    meter.add(report("b", "small"))
    meter.add(report("b", "small", 2000))
    assert meter.total.cost_usd == 0.06
    assert meter.unpriced == frozenset()


def test_a_report_without_a_model_costs_what_the_agents_model_does():
    meter = UsageMeter(lambda model: PRICES.get(model or "small"))
    meter.add(report("a", ""))
    assert meter.total.cost_usd == 0.005


def test_tokens_of_a_model_without_a_price_have_no_cost_and_are_named():
    meter = UsageMeter(PRICES.get)
    meter.add(report("a", "other"))
    assert (meter.total.cost_usd, meter.unpriced) == (None, {"other"})
    meter.add(report("b", "large"))
    assert (meter.total.cost_usd, meter.unpriced) == (0.05, {"other"})


def test_of_two_models_of_one_message_the_dearer_counts():
    """An agent says one, its proxy another; a later report does not lower the cost."""
    for first, second in (("small", "large"), ("large", "small"), ("", "large"), ("x", "large")):
        meter = UsageMeter(PRICES.get)
        meter.add(report("a", first))
        meter.add(report("a", second))
        assert meter.total.cost_usd == 0.05
        assert meter.total.output_tokens == 1000


def test_names_of_models_take_bounded_memory():
    meter = UsageMeter(lambda model: PRICES.get(model or "large"))
    for number in range(1000):
        meter.add(report(str(number), f"m-{number}", 1))
    assert meter.total.output_tokens == 1000
    assert len(meter.unpriced) <= 100
    assert meter.total.cost_usd > 0


def test_what_the_program_says_is_kept_beside_it():
    said = [Result(True, "done", 0.5), report("run", "", 100, has_own_id=True)]
    reader = OutputReader(
        SimpleNamespace(signals=lambda _line: said),
        clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        secrets=(),
        line_limit_bytes=1000,
        price_of=lambda model: PRICES.get(model or "small"),
    )
    reader.feed(Chunk("stdout", b"x\n"))
    assert (reader.spent.cost_usd, reader.spent.client_cost_usd) == (0.0005, 0.5)
    reader.see(report("resp-1", "large", 90))
    assert (reader.spent.output_tokens, reader.spent.cost_usd) == (100, 0.0045)


def test_later_rounds_add_their_cost_and_repeat_that_of_the_session():
    first = Usage(output_tokens=1, total_tokens=1, cost_usd=0.1, client_cost_usd=0.2)
    second = Usage(output_tokens=1, total_tokens=1, cost_usd=0.2, client_cost_usd=0.5)
    assert first.plus(second).cost_usd == 0.3
    assert first.plus(second).client_cost_usd == 0.5
    assert first.plus(Usage(total_tokens=1)).cost_usd == 0.1
    assert Usage().plus(Usage()).cost_usd is None
