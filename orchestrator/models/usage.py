"""Tokens and costs, as a backend reports them."""

from __future__ import annotations

from orchestrator.models.record import Record

#: Nanodollars: the price of any token is a whole number of them, or nearly so.
COST_DIGITS = 9


class Usage(Record):
    """Spent tokens, and what they cost."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    total_tokens: int = 0
    #: By the price table; None if no model of it has a price.
    cost_usd: float | None = None
    #: What the agent's program reports.
    client_cost_usd: float | None = None

    def plus(self, other: Usage) -> Usage:
        """Add the usage of a later round.

        The cost that a program reports is that of its session, with the earlier rounds.
        """
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name in type(self).model_fields
            if not name.endswith("cost_usd")
        }
        costs = [cost for cost in (self.cost_usd, other.cost_usd) if cost is not None]
        client = self.client_cost_usd if other.client_cost_usd is None else other.client_cost_usd
        cost_usd = round(sum(costs), COST_DIGITS) if costs else None
        return Usage(**sums, cost_usd=cost_usd, client_cost_usd=client)
