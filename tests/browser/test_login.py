"""A login address: opened once it logs its tab in; spent, wrong or early, it says what to do."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from orchestrator import wiring
from orchestrator.control.api_keys import digest_of, read_keys
from orchestrator.models import KeyScope
from orchestrator.settings import load_settings
from orchestrator.store import keys
from orchestrator.store.operations import command
from orchestrator.wiring import clock
from tests.browser.conftest import browsing
from tests.browser.seeding import Seed
from tests.browser.test_reach import faults_of
from tests.integration.api.conftest import serving

SIGNED = {"ORCHESTRATOR_SIGNING_KEY": "k" * 64}
SPENT = "This login address was used already, has expired, or is incomplete. `orch dashboard`"


@pytest.fixture
def logins(valkey_url, tmp_path):
    given = {**SIGNED, "VALKEY_URL": valkey_url, "ORCHESTRATOR_HOME": str(tmp_path)}
    return wiring.logins(load_settings(given))


@pytest.fixture
def address(store, logins):
    """Makes the hash of a login address."""

    def make(*scopes):
        created = logins.create(scopes or tuple(KeyScope), by="ann@desk", expires_s=600)
        return f"#login={store.follow(created)}"

    return make


@pytest.fixture
def board(browser, valkey_url, store):
    """The dashboard of a server that requires a key."""
    Seed(store).make("running")
    with (
        serving(valkey_url, **SIGNED, ORCHESTRATOR_API_KEY="s" * 30) as (client, _),
        browsing(browser, str(client.base_url)) as opened,
    ):
        yield opened


def asked_for_a_key(board):
    return board.page.get_by_role("dialog", name="An API key, please")


def test_a_login_address_opens_the_dashboard_and_leaves_no_code_behind(board, store, address):
    page = board.page
    sent = []
    page.on("request", lambda request: sent.append((request.url, request.headers)))
    hash_ = address()
    code = hash_.partition("=")[2]
    board.open(hash_)
    assert page.evaluate("location.href") == f"{board.url}/#/"
    assert page.locator(".row.agent").count() == 1
    expect(asked_for_a_key(board)).to_have_count(0)
    assert not any(code in f"{url} {headers}" for url, headers in sent)
    (key,) = store.follow(read_keys())
    assert key.name.startswith("browser-ann-desk-")
    # Neither a reload nor the way back needs, or has, the code.
    page.reload()
    page.get_by_text("Live", exact=True).wait_for()
    page.go_back()
    page.go_forward()
    page.get_by_text("Live", exact=True).wait_for()
    assert page.evaluate("location.hash") == "#/"
    assert board.asked.count("/login") == 1
    # The key acts, and a second tab has none.
    page.get_by_role("button", name="Halt…").click()
    dialog = page.get_by_role("dialog", name="Halt the system?")
    dialog.get_by_role("button", name="Halt").click()
    expect(page.locator("#halt")).to_contain_text(key.name)


def test_a_used_address_asks_for_a_key_and_a_new_one_in_the_same_tab_logs_in(board, address):
    page = board.page
    hash_ = address()
    board.open(hash_)
    page.evaluate("sessionStorage.clear()")
    page.goto("about:blank")
    page.goto(f"{board.url}/{hash_}")
    dialog = asked_for_a_key(board)
    expect(dialog).to_contain_text(SPENT)
    expect(dialog).to_contain_text("orch dashboard prints on a host of the system")
    # No other rule of the style sheet makes it smaller than its text.
    assert dialog.bounding_box()["width"] > 300
    assert faults_of(page) == []
    board.shot("login-spent")
    # A tab that is open already: only the fragment of its address changes.
    page.goto(f"{board.url}/{address()}")
    page.get_by_text("Live", exact=True).wait_for()
    expect(dialog).to_have_count(0)
    assert page.evaluate("location.hash") == "#/"


@pytest.mark.parametrize(
    "code", ["", "wrong", "%00%ff", "<img src=x onerror=alert(1)>", "x" * 1_000_000, "a=b&c#d?e"]
)
def test_a_wrong_code_takes_nothing_from_a_tab_that_is_logged_in(board, address, code):
    page = board.page
    board.open(address(KeyScope.READ))
    board.open(f"#login={code}")
    if code:
        notice = page.get_by_role("dialog", name="Not logged in again")
        expect(notice).to_contain_text(SPENT)
        expect(notice).to_contain_text("This page continues with the access it has.")
        notice.get_by_role("button", name="Close").click()
        expect(notice).to_have_count(0)
    expect(asked_for_a_key(board)).to_have_count(0)
    assert page.evaluate("location.hash") == "#/"
    assert page.locator(".row.agent").count() == 1


def test_of_two_tabs_one_logs_in(board, browser, address):
    hash_ = address()
    with browsing(browser, board.url) as other:
        for one in (board, other):
            one.page.goto(f"{board.url}/{hash_}", wait_until="commit")
        live = [one.page.get_by_text("Live", exact=True) for one in (board, other)]
        asked = [asked_for_a_key(one) for one in (board, other)]
        for is_live, is_asked in zip(live, asked, strict=True):
            expect(is_live.or_(is_asked)).to_be_visible()
        assert sorted(is_live.is_visible() for is_live in live) == [False, True]


def test_a_server_that_does_not_answer_is_asked_again_with_the_same_code(board, address):
    page = board.page
    failures = []

    def fail(route):
        failures.append(route.request.url)
        if len(failures) == 1:
            route.abort()
        else:
            route.fulfill(status=503, json={"detail": "Valkey does not answer."})

    page.route("**/login", fail, times=2)
    board.open(address())
    assert len(failures) == 2
    assert board.asked.count("/login") == 3


def test_a_key_that_ends_while_the_page_is_open_is_asked_for(board, store, address, logins):
    page = board.page
    board.open(address())
    (key,) = store.follow(read_keys())
    store.follow(logins.api_keys.revoke(key.name, by="ann", why="left"))
    expect(asked_for_a_key(board)).to_be_visible()
    expect(page.get_by_text("Refused", exact=True)).to_be_visible()
    late = clock() - timedelta(seconds=1)
    token = store.follow(logins.api_keys.add("late", [KeyScope.READ], by="ann", expires_at=late))
    page.evaluate("key => sessionStorage.setItem('orchestrator-key', key)", token)
    page.reload()
    expect(asked_for_a_key(board)).to_contain_text("The key late has expired.")


def test_without_keys_an_address_opens_the_page_and_no_key_is_made(browser, server, store, address):
    with browsing(browser, str(server.base_url).rstrip("/")) as board:
        hash_ = address()
        for given in (hash_, hash_, "#login=wrong"):
            board.open(given)
            expect(board.page.get_by_role("dialog")).to_have_count(0)
    assert store.follow(read_keys()) == ()
    name = keys.login(digest_of(hash_.partition("=")[2].encode()))
    assert store.run(command("EXISTS", name, decode=bool))
