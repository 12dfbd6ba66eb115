"""Hostile programs behind the proxy use one limit to its end, and not a token or a cent more.

`HOSTILE_RUNS` runs of 20 programs each (`make soak`); in CI one of 6.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from orchestrator.egress.proxies import EgressProxies
from orchestrator.errors import BudgetExceeded
from orchestrator.settings.prices import Price
from tests.doubles.greedy_models import GreedyModels
from tests.integration.budget.conftest import Fleet, Metered
from tests.integration.egress.conftest import dial

RUNS = int(os.environ.get("HOSTILE_RUNS", "0"))
PROGRAMS = 20 if RUNS else 6
LIMIT = 600_000 if RUNS else 200_000
KEY = "sk-double"
#: Dollars per million tokens of the model `m`, of each provider.
PRICE = Price(input=2.0, output=8.0, cache_read=0.2)
LIMIT_USD = LIMIT * PRICE.output / 10**6


class Program:
    """One agent: its proxy, its monitors, and requests that try to exceed the limit."""

    def __init__(self, fleet: Fleet, egress: EgressProxies, number: int, seed: int) -> None:
        self.fleet, self.metered = fleet, Metered(fleet)
        self.draw = random.Random(f"{seed}/{number}")
        #: Every third program has short prompts only, as the rest of a limit is worth no long one.
        self.is_short = number % 3 == 0
        self.is_over = threading.Event()
        self.opened = egress.opened(
            fleet.settings.home, with_model=True, limits=self.metered.requests,
            on_usage=self.metered.reader.see,
        )  # fmt: skip

    def live(self) -> None:
        """Run the program until a limit ends it."""
        with self.opened as proxy:
            askers = [
                threading.Thread(target=self.ask, args=(proxy, random.Random(self.draw.random())))
                for _ in range(self.draw.choice((1, 2, 4)))
            ]
            for asker in askers:
                asker.start()
            try:
                while not self.is_over.wait(0.02):
                    self.metered.monitor.check()
            except BudgetExceeded as error:
                self.is_over.set()
                self.fleet.holder.fail(self.metered.agent, error, self.metered.facts())
            proxy.cut()
            for asker in askers:
                asker.join()

    def ask(self, proxy, draw: random.Random) -> None:
        while not self.is_over.is_set():
            path, body, key = self.request(proxy, draw)
            content = json.dumps(body).encode()
            head = f"POST {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{key}\r\n"
            head += f"content-length: {len(content)}\r\n\r\n"
            with suppress(OSError), dial(proxy) as client:
                client.sendall(head.encode() + content)
                # Some leave before the answer begins, and some when it has begun.
                for _ in range(draw.choice((0, 1, 1000, 1000))):
                    if not client.recv(65536):
                        break

    def request(self, proxy, draw: random.Random):
        (limit,) = draw.choices((None, 100, 2_000, 8_000, 10**9), (1, 9, 9, 9, 1))
        long = draw.choice((100, 2_000, 20_000))
        text = draw.choice("wx") * (0 if self.is_short else long) + str(draw.random())
        stream = draw.random() < 0.7
        messages = [{"role": "user", "content": text}]
        secret = proxy.model.key
        bearer = f"authorization: Bearer {secret}"
        match draw.choice(("messages", "responses", "chat", "gemini")):
            case "messages":
                body = {"model": "m", "max_tokens": limit or 1_000, "messages": messages}
                body |= {"stream": stream, "thinking": {"type": "enabled", "budget_tokens": 2000}}
                return "/v1/messages", body, f"x-api-key: {secret}"
            case "responses":
                body = {"model": "m", "input": text, "stream": stream}
                named = {"max_output_tokens": limit} if limit else {}
                return "/openai/v1/responses", body | named, bearer
            case "chat":
                body = {"model": "m", "messages": messages, "stream": stream}
                body |= {"n": draw.choice((1, 1, 8))}
                name = draw.choice(("max_tokens", "max_completion_tokens"))
                named = {name: limit} if limit else {}
                path = "/openai/v1/chat/completions"
                return path, body | named, bearer
        config = {"candidateCount": draw.choice((1, 1, 4))}
        config |= {"maxOutputTokens": limit} if limit else {}
        body = {"contents": [{"parts": [{"text": text}]}], "generationConfig": config}
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/gemini/v1beta/models/m:{method}", body, f"x-goog-api-key: {secret}"


@pytest.mark.parametrize("kind", ["tokens", "dollars"])
@pytest.mark.parametrize("seed", range(max(RUNS, 1)))
def test_nothing_is_over_the_limit_and_nearly_all_of_it_is_usable(store, seed, kind, capsys):
    with TemporaryDirectory() as home, GreedyModels() as models:
        most = LIMIT if kind == "tokens" else 100 * LIMIT
        own = Path(home, "prices.toml")
        price = f"m = {{ input = {PRICE.input}, output = {PRICE.output}, cache_read = 0.2 }}"
        tables = [f"[{name}]\n{price}" for name in ("anthropic", "openai", "gemini")]
        own.write_text("\n".join(["date = 2026-12-01", *tables]), encoding="utf-8")
        dollars = {"BUDGET_DAILY_USD": f"{LIMIT_USD:.6f}"} if kind == "dollars" else {}
        environ = {
            "ORCHESTRATOR_SANDBOX_NETWORK": "proxy",
            "CLAUDE_API_KEY": KEY,
            "OPENAI_API_KEY": KEY,
            "GEMINI_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": models.url,
            "OPENAI_BASE_URL": models.url + "/v1",
            "GEMINI_BASE_URL": models.url,
            "ORCHESTRATOR_PRICES": str(own),
            **dollars,
            "BUDGET_DAILY_TOKENS": str(most),
            "BUDGET_PER_AGENT_TOKENS": str(most),
            "BUDGET_RESERVATION": "1000",
            "MAX_CONCURRENT_AGENTS": str(PROGRAMS),
        }
        fleet = Fleet(store, Path(home), **environ)
        egress = EgressProxies(fleet.settings, fleet.new_id)
        programs = [Program(fleet, egress, number, seed) for number in range(PROGRAMS)]
        threads = [threading.Thread(target=program.live) for program in programs]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        used, reserved = fleet.counts()
        cost_usd = fleet.summary().cost_usd
    with capsys.disabled():
        took = time.monotonic() - began
        print(f" {seed}: {len(models.requests)} requests, {used}, ${cost_usd} in {took:.1f} s")
    assert (used, reserved) == (models.billed, 0)
    assert cost_usd == pytest.approx(models.billed_usd(PRICE), abs=1e-6)
    spent, limit = (used, LIMIT) if kind == "tokens" else (cost_usd, LIMIT_USD)
    assert spent <= limit
    assert spent >= 0.97 * limit
