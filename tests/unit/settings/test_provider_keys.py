"""The keys of all model providers are settings: read from files, masked, never inherited."""

from __future__ import annotations

import pytest

from orchestrator.errors import SettingsInvalid
from orchestrator.settings import load_settings

KEYS = (
    *("CLAUDE_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"),
    "OPENAI_COMPATIBLE_API_KEY",
)
URLS = (
    *("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "GEMINI_BASE_URL"),
    "OPENAI_COMPATIBLE_BASE_URL",
)


@pytest.mark.parametrize("name", KEYS)
def test_each_key_may_come_as_a_file_is_masked_and_no_program_inherits_it(tmp_path, name):
    path = tmp_path / "key"
    path.write_text("the-key-of-it\n")
    for given in ({name: "the-key-of-it"}, {f"{name}_FILE": str(path)}):
        settings = load_settings(given)
        assert "the-key-of-it" in settings.secrets
        assert "the-key-of-it" not in repr(settings)
        assert settings.host_env == {}
    path.write_text("")
    assert load_settings({f"{name}_FILE": str(path)}).secrets == load_settings({}).secrets


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize(
    "wrong",
    ["gateway.example", "ftp://g.example", "https://", "https://g.example/?a=1", "http://g:x"],
)
def test_a_wrong_base_address_stops_the_start(name, wrong):
    with pytest.raises(SettingsInvalid, match=f"^{name}: "):
        load_settings({name: wrong})


@pytest.mark.parametrize("name", URLS)
def test_the_password_in_a_base_address_is_masked(name):
    settings = load_settings({name: "https://user:pass%2Fword@gateway.example/v1"})
    assert {"pass%2Fword", "pass/word"} <= set(settings.secrets)
