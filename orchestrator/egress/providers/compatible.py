"""Any server with the APIs of OpenAI, below `/compatible/v1` of the proxy."""

from __future__ import annotations

from orchestrator.egress.providers._openai import OpenAiProvider
from orchestrator.interfaces.provider import Endpoint
from orchestrator.settings import Settings


def build(settings: Settings) -> OpenAiProvider | None:
    """Build the provider; None without a base address."""
    url = settings.compatible_base_url
    if url is None:
        return None
    endpoint = Endpoint(url, settings.compatible_api_key)
    return OpenAiProvider(endpoint, "/compatible/v1", "OPENAI_COMPATIBLE", has_ids=False)
