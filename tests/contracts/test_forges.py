"""What every forge keeps, whichever file brings it, against a double of its API."""

from __future__ import annotations

import importlib
import traceback
from dataclasses import replace

import pytest
from requests.adapters import HTTPAdapter

from orchestrator.errors import ForgeRefused, ForgeUnavailable, SettingsInvalid
from orchestrator.forges._asked import BODY_CHARACTERS, parse_address
from orchestrator.forges._http import TRIES, Timing
from orchestrator.forges.github import HOST as PUBLIC_GITHUB
from orchestrator.interfaces.forge import ChangeRequest, Forge
from orchestrator.plugins import Family
from orchestrator.settings import load_settings
from tests.doubles.forges import TOKEN, Double

FORGES: Family[Forge] = Family("orchestrator.forges")


@pytest.fixture(params=FORGES.names())
def name(request):
    return request.param


@pytest.fixture
def double(name):
    with Double(name) as server:
        yield server


@pytest.fixture
def waits():
    return []


class Refusing(HTTPAdapter):
    """Whatever is broken, no test sends anything beyond this machine."""

    def send(self, request, **_):
        raise AssertionError(request.url)


@pytest.fixture
def make(name, waits):
    made = []

    def build(**variables):
        module = importlib.import_module(f"{FORGES.package}.{name}")
        settings = load_settings({"ORCHESTRATOR_FORGE": name, **variables})
        forge = module.build(settings, Timing(try_timeout_s=1, sleep=waits.append))
        made.append(forge._http._session)
        for address in ("http://", "https://"):
            made[-1].mount(address, Refusing())
        made[-1].mount("http://127.0.0.1:", HTTPAdapter())
        return forge

    yield build
    for session in made:
        session.close()


@pytest.fixture
def forge(make):
    return make()


@pytest.fixture
def asked(double):
    return ChangeRequest(double.repository, "agent/a-1", "main", "Add a widget", "It turns.")


def test_it_says_what_it_is(name):
    module = importlib.import_module(f"{FORGES.package}.{name}")
    assert module.__doc__
    assert type(FORGES.build(name, load_settings({}))).__doc__


def test_a_request_is_opened_with_its_words(double, forge, asked):
    url = forge.open_request(asked, token=TOKEN)
    (opened,) = double.api.held
    assert url == double.api.link(opened)
    assert (opened.branch, opened.base) == ("agent/a-1", "main")
    assert (opened.title, opened.body) == ("Add a widget", "It turns.")


def test_a_second_time_it_is_the_same_request_over_the_same_connection(double, forge, asked):
    first = forge.open_request(asked, token=TOKEN)
    assert forge.open_request(asked, token=TOKEN) == first
    assert len(double.api.held) == 1
    assert double.connections == 1


def test_only_the_open_request_of_the_very_branches_is_found(double, forge, asked):
    """Not a closed one, another's, or one a stranger opened from a fork's branch of that name."""
    double.api.hold("agent/a-1", "main", state="clos")
    mine = double.api.hold("agent/a-1", "main")
    double.api.hold("agent/a-1", "main", state="clos")
    double.api.hold("agent/a-1", "main", repository="acme/stranger")
    double.api.hold("agent/a-1", "release/1")
    double.api.hold("agent/a-2", "main")
    assert forge.open_request(asked, token=TOKEN) == double.api.link(mine)


def test_it_is_found_among_many(double, forge, asked):
    mine = double.api.hold("agent/a-1", "main")
    for number in range(60):
        double.api.hold(f"agent/b-{number}", "main")
    assert forge.open_request(asked, token=TOKEN) == double.api.link(mine)


@pytest.mark.parametrize(
    "instead",
    [
        (429, {"Retry-After": "7"}, "slow down"),
        (403, {"Retry-After": "7"}, "secondary rate limit"),
        (500, {}, "<h1>oops</h1>"),
        (503, {"Retry-After": "soon"}, ""),
        "cut",
        "lose",
        "drip",
    ],
)
def test_what_passes_is_tried_again_and_opens_one_request(double, forge, asked, waits, instead):
    double.instead = [instead, instead]
    assert forge.open_request(asked, token=TOKEN) == double.api.link(double.api.held[0])
    assert len(double.api.held) == 1
    assert waits
    if "Retry-After" in str(instead) and "7" in str(instead):
        assert min(waits) >= 7


@pytest.mark.parametrize(
    "instead", [(500, {}, TOKEN), "hang", (429, {"Retry-After": "9" * 99}, "")]
)
def test_what_does_not_pass_is_unavailable(double, forge, asked, waits, instead):
    double.instead = [instead] * 9
    with pytest.raises(ForgeUnavailable) as caught:
        forge.open_request(asked, token=TOKEN)
    assert len(double.calls) == TRIES
    assert len(waits) == TRIES - 1
    assert max(waits) <= 60
    assert_tokenless(caught)


def test_a_forge_that_is_not_there_is_unavailable(double, forge, asked):
    nowhere = asked.repository.replace(str(double.server_port), "1")
    with pytest.raises(ForgeUnavailable):
        forge.open_request(replace(asked, repository=nowhere), token=TOKEN)


@pytest.mark.parametrize(
    ("change", "token", "said"),
    [
        ({}, "wrong", "401"),
        ({"branch": "agent/unpushed"}, TOKEN, "agent|head|source_branch|target"),
        ({}, "", "token"),
        ({}, f"{TOKEN}\nX: y", "token"),
        ({}, f"{TOKEN}\u2028", "token"),
    ],
)
def test_a_refusal_is_said_once_without_the_token(double, forge, asked, waits, change, token, said):
    with pytest.raises(ForgeRefused, match=said) as caught:
        forge.open_request(replace(asked, **change), token=token)
    assert not waits
    assert not double.api.held
    assert_tokenless(caught)


@pytest.mark.parametrize(
    "instead",
    [
        (200, {}, f"<html>{TOKEN}</html>"),
        (201, {}, "[" * 100_000),
        (201, {}, "null"),
        (201, {}, '{"html_url": 1, "web_url": "x"}'),
        (404, {}, f"no {TOKEN} here"),
        (418, {}, "\x1b[31m"),
    ],
)
def test_any_other_answer_is_refused(double, forge, asked, waits, instead):
    double.instead = [instead] * 2
    with pytest.raises(ForgeRefused) as caught:
        forge.open_request(asked, token=TOKEN)
    assert not waits
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
    assert_tokenless(caught)


def test_an_answer_without_end_is_not_read_to_it(double, forge, asked):
    double.instead = [(201, {}, " " * 2**25)] * 2
    with pytest.raises(ForgeRefused, match="more than its API does"):
        forge.open_request(asked, token=TOKEN)


@pytest.mark.parametrize("link", ["javascript:alert(1)", "https://example.org/ x", "x" * 3000])
def test_a_link_that_is_none_is_refused(double, forge, asked, link):
    double.api.link = lambda _: link
    with pytest.raises(ForgeRefused, match="its API does not"):
        forge.open_request(asked, token=TOKEN)


def assert_tokenless(caught):
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


# ── the token goes to one place ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(name, double, forge, asked, status):
    with Double(name) as elsewhere:
        double.instead = [(status, {"Location": elsewhere.repository}, "")] * 2
        with pytest.raises(ForgeRefused, match=str(status)):
            forge.open_request(asked, token=TOKEN)
        assert not elsewhere.calls


def test_no_proxy_of_the_environment_hears_a_plain_token(name, double, forge, asked, monkeypatch):
    with Double(name) as proxy:
        for variable in ("http_proxy", "all_proxy"):
            monkeypatch.setenv(variable, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        forge.open_request(asked, token=TOKEN)
        assert not proxy.calls


def test_no_netrc_takes_the_tokens_place(double, forge, asked, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    forge.open_request(asked, token=TOKEN)


@pytest.mark.parametrize(
    "repository",
    [
        "http://example.org/acme/widget.git",
        "http://127.0.0.1.example.org/acme/widget.git",
        "http://localhost@example.org/acme/widget.git",
        "/srv/git/acme/widget.git",
        "git://example.org/acme/widget",
        "https://example.org/acme/../../x",
        "https://example.org/acme//widget",
        "https://example.org/widget\n",
        "https://exa mple.org/acme/widget",
        "https://example.org\\@example.net/acme/widget",
        "https://me:secret@example.org/acme/widget",
        "git@example.org:",
        "",
    ],
)
def test_an_address_that_is_no_forges_is_never_asked(name, forge, asked, repository):
    with pytest.raises(ForgeRefused):
        forge.open_request(replace(asked, repository=repository), token=TOKEN)


@pytest.mark.parametrize("kind", ["github", "gitea"])
def test_an_address_without_an_owner_is_never_asked(kind, asked):
    """GitLab alone knows what its groups are."""
    forge = FORGES.build(kind, load_settings({}))
    forge._http._session.mount("https://", Refusing())
    address = "https://example.org/widget"
    with pytest.raises(ForgeRefused):
        forge.open_request(replace(asked, repository=address), token=TOKEN)


@pytest.mark.parametrize(
    "url", ["http://example.org/api", "https://u:p@example.org", "example.org"]
)
def test_an_api_that_would_show_the_token_stops_the_start(make, url):
    with pytest.raises(SettingsInvalid, match=r"^ORCHESTRATOR_FORGE_URL: must be") as caught:
        make(ORCHESTRATOR_FORGE_URL=url)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize("repository", ["git@example.org:{}.git", "ssh://git@example.org:22/{}"])
def test_the_api_may_be_elsewhere_and_the_repository_behind_ssh(double, make, asked, repository):
    double.api.prefix = "/elsewhere/api"
    forge = make(ORCHESTRATOR_FORGE_URL=f"{double.url}/elsewhere/api/")
    asked = replace(asked, repository=repository.format(double.api.repository))
    assert forge.open_request(asked, token=TOKEN)


@pytest.mark.parametrize(
    ("repository", "origin", "path"),
    [
        ("https://Example.org/a/b.git", "https://example.org", ("a", "b")),
        ("https://example.org:8443/a/b/", "https://example.org:8443", ("a", "b")),
        ("ssh://git@example.org:2222/a/b.git", "https://example.org", ("a", "b")),
        ("git@example.org:a/b/c.git", "https://example.org", ("a", "b", "c")),
        ("example.org:/a/b", "https://example.org", ("a", "b")),
        ("https://[::1]:8443/a/b", "https://[::1]:8443", ("a", "b")),
        ("https://example.org/a/b%2e%2e", "https://example.org", ("a", "b%252e%252e")),
    ],
)
def test_every_way_to_write_an_address_is_read(repository, origin, path):
    address = parse_address(repository)
    assert (address.origin, address.path) == (origin, path)


# ── the words are the agent's ───────────────────────────────────────────────────────────────


def test_words_are_cut_to_what_the_forge_takes(double, forge, asked):
    asked = replace(asked, title="t\n" * 999, body="\ud800\0" + "b" * 99_999)
    forge.open_request(asked, token=TOKEN)
    (opened,) = double.api.held
    assert opened.title.startswith("t t t")
    assert len(opened.body) == BODY_CHARACTERS
    assert opened.body.startswith("?bbb")


def test_without_a_title_the_branch_is_it(double, forge, asked):
    forge.open_request(replace(asked, title=" \n"), token=TOKEN)
    assert double.api.held[0].title == "agent/a-1"


# ── what only one of them has ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["gitlab"])
def test_gitlab_does_nothing_the_agents_words_command(name, double, forge, asked):
    body = "Done.\n/merge\n \t/approve\r/assign @me\n\r/close\nsee a/b"
    forge.open_request(replace(asked, body=body), token=TOKEN)
    said = double.api.held[0].body
    assert said.splitlines() == [
        "Done.",
        r"\/merge",
        " \t" + r"\/approve/assign @me",
        r"\/close",
        "see a/b",
    ]


@pytest.mark.parametrize("name", ["github"])
def test_the_public_github_has_an_api_host(name, forge, asked):
    asked = replace(asked, repository=f"git@{PUBLIC_GITHUB}:a/b.git")
    with pytest.raises(AssertionError, match=f"^https://api.{PUBLIC_GITHUB}/repos/a/b/pulls$"):
        forge.open_request(asked, token=TOKEN)
