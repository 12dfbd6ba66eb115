"""A wrong setting stops the start with one line that names it."""

from __future__ import annotations

import pytest

from orchestrator.errors import SettingsInvalid
from orchestrator.settings import load_settings, parse_duration
from orchestrator.wiring import with_secrets


def test_the_defaults_are_the_contracts():
    settings = load_settings({})
    assert (settings.host, settings.port, settings.max_concurrent_agents) == ("127.0.0.1", 3001, 10)
    assert settings.agent_timeout_s == 120 * 60
    assert settings.is_embedded
    assert settings.default_agent == "scripted"
    assert not settings.yolo_mode


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "redis://127.0.0.1:6379/0"),
        ({"VALKEY_PORT": "7000"}, "redis://127.0.0.1:7000/0"),
        ({"VALKEY_HOST": "v", "VALKEY_PASSWORD": "a/b"}, "redis://:a%2Fb@v:6379/0"),
        ({"VALKEY_HOST": "v", "VALKEY_TLS": "true"}, "rediss://v:6379/0"),
        ({"VALKEY_URL": "valkey://v:1/2"}, "redis://v:1/2"),
        ({"VALKEY_URL": "redis://v:1/2", "VALKEY_HOST": "w"}, "redis://v:1/2"),
    ],
)
def test_valkeys_address_is_one_url(environ, url):
    assert load_settings(environ).valkey_url == url


@pytest.mark.parametrize("name", ["VALKEY_URL", "VALKEY_HOST"])
def test_a_server_that_is_named_is_not_started(name):
    value = "redis://v:1/0" if name == "VALKEY_URL" else "v"
    assert not load_settings({name: value}).is_embedded


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ORCHESTRATOR_PORT", "99999"),
        ("ORCHESTRATOR_PORT", "abc"),
        ("VALKEY_PORT", "0"),
        ("VALKEY_URL", "http://v"),
        ("VALKEY_URL", "redis://[::1"),
        ("MAX_CONCURRENT_AGENTS", "0"),
        ("ORCHESTRATOR_SANDBOX_MEMORY", "1MiB"),
        ("ORCHESTRATOR_SANDBOX_MEMORY", "much"),
        ("ORCHESTRATOR_SANDBOX_CPUS", "0"),
        ("ORCHESTRATOR_SANDBOX_CPUS", "inf"),
        ("ORCHESTRATOR_SANDBOX_PIDS", "2"),
        ("MAX_CONCURRENT_AGENTS", "-3"),
        ("SANDBOX_ENABLED", "perhaps"),
        ("ORCHESTRATOR_AGENT_TIMEOUT", "soon"),
        ("ORCHESTRATOR_AGENT_TIMEOUT", "0"),
        ("ORCHESTRATOR_CHANGE_LIMIT_MIB", "100000"),
        ("ORCHESTRATOR_HOST", "0.0.0.0"),
        ("ORCHESTRATOR_UNHEARD_OF", "1"),
        ("ORCHESTRATOR_PROCESS_LEVEL", "strongest"),
        ("ORCHESTRATOR_DISK_QUOTA", "0"),
        ("ORCHESTRATOR_BACKENDS__COMMAND", "1"),
        ("ORCHESTRATOR_API_KEY_FILE", "/does/not/exist"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(name, value):
    with pytest.raises(SettingsInvalid) as caught:
        load_settings({name: value})
    assert str(caught.value).startswith(name)
    assert "\n" not in str(caught.value)


def test_a_key_may_come_as_a_file_and_the_value_wins(tmp_path):
    (tmp_path / "key").write_text("from-file\n")
    path = str(tmp_path / "key")
    settings = load_settings({"CLAUDE_API_KEY_FILE": path})
    assert settings.model_key.get_secret_value() == "from-file"
    assert settings.default_agent == "claude"
    both = load_settings({"CLAUDE_API_KEY_FILE": path, "CLAUDE_API_KEY": "direct"})
    assert both.model_key.get_secret_value() == "direct"


@pytest.mark.parametrize(
    "name",
    [
        "ORCHESTRATOR_API_KEY",
        "ORCHESTRATOR_SIGNING_KEY",
        "ORCHESTRATOR_FLOWER_PASSWORD",
        "VALKEY_PASSWORD",
        "GIT_TOKEN",
    ],
)
def test_an_empty_secret_is_refused_rather_than_taken_for_none(tmp_path, name):
    """It would pass for one where it opens the network; a variable set to nothing is none."""
    assert load_settings({name: "", f"{name}_FILE": ""})
    (tmp_path / "empty").write_text("\n")
    for variable, value in ((name, "  "), (f"{name}_FILE", str(tmp_path / "empty"))):
        with pytest.raises(SettingsInvalid, match=f"^{variable}: .*empty") as caught:
            load_settings({variable: value, "ORCHESTRATOR_HOST": "0.0.0.0"})
        assert "\n" not in str(caught.value)


def test_an_empty_model_key_is_none(tmp_path):
    """deploy/secrets.sh makes its file in any case."""
    (tmp_path / "empty").touch()
    for environ in (
        {"CLAUDE_API_KEY_FILE": str(tmp_path / "empty")},
        {"CLAUDE_API_KEY": ""},
        {"CLAUDE_API_KEY_FILE": ""},
    ):
        assert not load_settings(environ).model_key


def test_secrets_do_not_show_in_a_settings_repr():
    settings = load_settings({"CLAUDE_API_KEY": "s3cret-value", "VALKEY_PASSWORD": "pass-value"})
    assert "s3cret-value" not in repr(settings)
    assert "pass-value" not in repr(settings)
    assert set(settings.secrets) == {"s3cret-value", "pass-value"}


@pytest.mark.parametrize(
    ("environ", "secrets"),
    [
        ({"VALKEY_URL": "redis://:pa%2Fss-word@v:1/0"}, {"pa%2Fss-word", "pa/ss-word"}),
        ({"VALKEY_URL": "rediss://ann:pass-word@v"}, {"pass-word"}),
        ({"VALKEY_URL": "unix:///run/v.sock?db=1&password=pass%2Bword"}, {"pass+word"}),
        ({"VALKEY_URL": "redis://v:1/0"}, set()),
        ({"VALKEY_HOST": "v", "VALKEY_PASSWORD": "a/b-c-d"}, {"a/b-c-d", "a%2Fb-c-d"}),
        # Short ones would mangle every line that has them by chance.
        ({"COMMAND__ENV": '{"KEY": "sk-of-it", "N": "1", "LANG": "C.UTF"}'}, {"sk-of-it"}),
        (
            {"COMMAND__ENV": '{"A": "secret", "B": "secret-and-more"}'},
            {"secret", "secret-and-more"},
        ),
        ({"COMMAND__ENV": "not JSON"}, {"not JSON"}),
        ({"COMMAND__ENV": '["a-list"]'}, {'["a-list"]'}),
    ],
)
def test_a_secret_inside_another_setting_is_one(environ, secrets):
    backends = {f"ORCHESTRATOR_BACKENDS__{name}": value for name, value in environ.items()}
    given = load_settings(environ if "COMMAND__ENV" not in environ else backends)
    held = with_secrets(given).secrets
    assert set(held) == secrets
    assert list(held) == sorted(held, key=len, reverse=True), "or the rest of the longer one shows"


def test_the_environment_wins_over_the_dotenv_file(tmp_path):
    dotenv = tmp_path / ".env"
    dotenv.write_text("ORCHESTRATOR_PORT=4000\nMAX_CONCURRENT_AGENTS=7\n")
    settings = load_settings({"ORCHESTRATOR_PORT": "5000"}, dotenv=dotenv)
    assert (settings.port, settings.max_concurrent_agents) == (5000, 7)


def test_backend_options_are_grouped_by_backend():
    settings = load_settings({"ORCHESTRATOR_BACKENDS__COMMAND__ARGV": '["aider"]'})
    assert settings.backends == {"command": {"argv": '["aider"]'}}


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1.5h", 5400), ("250ms", 0.25)]
)
def test_durations_have_units(text, seconds):
    assert parse_duration(text) == seconds
