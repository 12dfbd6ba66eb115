"""OpenAI, below `/openai/v1` of the proxy."""

from __future__ import annotations

from orchestrator.egress.providers._openai import OpenAiProvider
from orchestrator.interfaces.provider import Endpoint
from orchestrator.settings import Settings

DEFAULT_URL = "https://api.openai.com/v1"


def build(settings: Settings) -> OpenAiProvider | None:
    """Build the provider; None without a key."""
    key = settings.openai_api_key
    if key is None:
        return None
    endpoint = Endpoint(settings.openai_base_url or DEFAULT_URL, key)
    return OpenAiProvider(endpoint, "/openai/v1", "OPENAI", has_ids=True)
