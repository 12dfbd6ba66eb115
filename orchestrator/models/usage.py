"""Tokens and costs, as a backend reports them."""

from __future__ import annotations

from orchestrator.models.record import Record


class Usage(Record):
    """Spent tokens, as the backend reported them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    total_tokens: int = 0
    cost_usd: float | None = None

    def plus(self, other: Usage) -> Usage:
        """Add the usage of a later round; a resumed session's cost includes the earlier rounds."""
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name in type(self).model_fields
            if name != "cost_usd"
        }
        cost_usd = self.cost_usd if other.cost_usd is None else other.cost_usd
        return Usage(**sums, cost_usd=cost_usd)
