"""Changes over HTTP: patches to read, bundles in pieces, commits beside the change; and the CLI."""

from __future__ import annotations

import json
import subprocess

import httpx
import pytest
from click.testing import CliRunner

from orchestrator import wiring
from orchestrator.cli import main
from orchestrator.cli.output.exit_codes import Exit
from orchestrator.models import KeyScope
from orchestrator.settings import load_settings
from orchestrator.store import changes, keys, objects
from orchestrator.store.operations import command
from tests.integration.api.conftest import problem_of, serving
from tests.integration.conftest import SAMPLE, git, make_remote
from tests.integration.delivery.lab import Lab, write

SIGNED = {"ORCHESTRATOR_SIGNING_KEY": "k" * 64}
STASH = {"run": "echo stashed > stashed.txt; git add stashed.txt; git stash -q"}


@pytest.fixture
def lab(tmp_path, valkey_url):
    return Lab(tmp_path, valkey_url)


@pytest.fixture
def remote(tmp_path):
    return make_remote(tmp_path, SAMPLE)


@pytest.fixture
def failed(lab, remote):
    """A failed agent with a change and a stash beside it."""
    agent = lab.play(remote, STASH, write("half.py", "HALF = 1\n"), {"fail": 3})
    assert [one.ref for one in agent.retained] == ["stash@{0}"]
    return agent.agent_id


@pytest.fixture
def server(lab, valkey_url, tmp_path):
    """An API on another host of the same system, and a key that may read."""
    token = lab.store.follow(
        wiring.api_keys(load_settings(SIGNED)).add("ann", [KeyScope.READ], by="test")
    )
    home = str(tmp_path / "elsewhere")
    with serving(valkey_url, **SIGNED, ORCHESTRATOR_HOME=home) as (client, _):
        client.headers["X-API-Key"] = token
        yield client
    lab.store._client.call("FLUSHALL")


@pytest.fixture
def orch(server, tmp_path, monkeypatch):
    """Run a command with the API and the key alone, in a folder of its own."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("VALKEY_URL", raising=False)
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", server.headers["X-API-Key"])

    def run(*arguments, code=0, stdin=None):
        given = ["--api", str(server.base_url), *arguments]
        ran = CliRunner().invoke(main, given, prog_name="orch", input=stdin)
        assert ran.exit_code == code, (ran.output, ran.exception)
        return ran

    return run


def test_a_diff_and_a_ref_beside_it(server, failed):
    assert "+HALF = 1" in server.get(f"/agents/{failed[:8]}/diff").text
    stash = server.get(f"/agents/{failed}/diff", params={"ref": "stash@{0}"})
    assert "+stashed" in stash.text
    assert stash.headers["content-type"].startswith("text/x-diff")
    refused = problem_of(server.get(f"/agents/{failed}/diff?ref=other"), 404)
    assert refused["type"].endswith("change_missing")
    assert "stash@{0}" in refused["detail"]


@pytest.mark.parametrize("ref", ["", "stash@{0}"])
def test_a_bundle_is_what_git_imports(server, failed, remote, tmp_path, ref):
    answer = server.get(f"/agents/{failed}/export", params={"ref": ref})
    assert answer.headers["content-type"] == "application/x-git-bundle"
    assert answer.headers["content-disposition"] == f'attachment; filename="{failed}.bundle"'
    file, clone = tmp_path / "x.bundle", tmp_path / "clone"
    file.write_bytes(answer.content)
    git("clone", "-q", str(remote), str(clone), cwd=tmp_path)
    git("fetch", "-q", str(file), "refs/orchestrator/*:refs/retained/*", cwd=clone)
    names = git("for-each-ref", "--format=%(refname)", "refs/retained", cwd=clone)
    assert ("refs/retained/change" in names) is not bool(ref)
    assert "stash" in names


def test_a_patch_is_what_git_applies(server, failed, remote, tmp_path):
    answer = server.get(f"/agents/{failed}/export?format=patch")
    clone = tmp_path / "clone"
    git("clone", "-q", str(remote), str(clone), cwd=tmp_path)
    subprocess.run(["git", "apply"], cwd=clone, input=answer.content, check=True)
    assert (clone / "half.py").read_text() == "HALF = 1\n"


def test_what_is_not_there_or_not_asked_rightly_is_one_clear_refusal(server, lab, remote):
    for path in ("diff", "export"):
        problem_of(server.get(f"/agents/nobody-at-all/{path}"), 404)
    empty = lab.play(remote, {"fail": 3}).agent_id
    for path in ("diff", "export", "export?format=patch", "export?ref=x"):
        problem_of(server.get(f"/agents/{empty}/{path}"), 404)
    assert server.get(f"/agents/{empty}/export?format=zip").status_code == 422
    assert server.get(f"/agents/{empty}/export?ref={'x' * 1001}").status_code == 422
    del server.headers["X-API-Key"]
    assert server.get(f"/agents/{empty}/export").status_code == 401


def put(store, agent_id, content):
    store.follow(changes.put_change(agent_id, 1, content))
    return store.follow(objects.find(keys.change(agent_id, 1)))


def test_a_large_bundle_comes_in_pieces_and_whole(server, lab, failed):
    content = b"".join(number.to_bytes(4, "big") for number in range(2**20))
    put(lab.store, failed, content)
    with server.stream("GET", f"/agents/{failed}/export") as answer:
        assert int(answer.headers["content-length"]) == len(content)
        assert b"".join(answer.iter_raw()) == content


def test_a_damaged_bundle_is_never_taken_for_a_whole_one(server, orch, lab, failed, tmp_path):
    ref = put(lab.store, failed, bytes(3 * objects.PIECE_BYTES))
    store = lab.store
    name = keys.stored_object(ref.digest)
    store.run(command("HSET", name, 2, b"x" * objects.PIECE_BYTES, decode=int))
    with pytest.raises(httpx.RemoteProtocolError):
        server.get(f"/agents/{failed}/export")
    assert "peer closed" in orch("export", failed, code=Exit.UNREACHABLE).stderr
    assert [*(tmp_path / "desk").iterdir()] == []
    store.run(command("HDEL", name, 0, decode=int))
    assert server.get(f"/agents/{failed}/export").json()["type"].endswith("object_damaged")


def test_a_change_that_git_refuses_is_still_exported(server, orch, lab, failed, tmp_path):
    put(lab.store, failed, b"no bundle at all")
    problem_of(server.get(f"/agents/{failed}/diff"), 409)
    problem_of(server.get(f"/agents/{failed}/export?format=patch"), 409)
    ran = orch("export", failed, "--patch")
    assert "so its bundle is written" in ran.stderr
    assert (tmp_path / "desk" / f"{failed}.bundle").read_bytes() == b"no bundle at all"


def test_orch_diff_over_http(orch, lab, failed, remote):
    ran = orch("diff", failed[:8])
    assert "+HALF = 1" in ran.stdout
    assert f"orch diff {failed} --ref 'stash@{{0}}'" in ran.stderr
    assert "+stashed" in orch("diff", failed, "--ref", "stash@{0}").stdout
    found = json.loads(orch("diff", failed, "--json").stdout)
    assert found["agentId"] == failed
    assert [one["ref"] for one in found["outside"]] == ["stash@{0}"]
    other = lab.play(remote, write("other.py", "OTHER = 1\n"), {"fail": 3}).agent_id
    ran = orch("diff", "-", "nobody-at-all", code=1, stdin=f"{failed} {other}")
    assert ran.stdout.index(f"# agent {failed}") < ran.stdout.index(f"# agent {other}")
    assert "+OTHER = 1" in ran.stdout
    assert "nobody-at-all: There is no agent" in ran.stderr


def test_orch_export_over_http(orch, failed, tmp_path):
    desk = tmp_path / "desk"
    ran = orch("export", failed[:8])
    assert f"{failed}.bundle: " in ran.stderr
    assert f"orch export {failed} --ref 'stash@{{0}}'" in ran.stderr
    assert (desk / f"{failed}.bundle").read_bytes().startswith(b"# v2 git bundle")
    done = json.loads(orch("export", failed, "--patch", "-o", "a.patch", "--json").stdout)
    size = (desk / "a.patch").stat().st_size
    assert done["files"] == [{"file": "a.patch", "format": "patch", "bytes": size}]
    orch("export", failed, "--ref", "stash@{0}", "-o", "stash.bundle")
    assert (desk / "stash.bundle").exists()
    assert "Nothing was written" in orch("export", failed, "-o", "x.tgz", code=2).stderr
    assert "-o names the file of one" in orch("export", failed, "x", "-o", "y", code=2).stderr


def test_work_that_another_host_has_is_named(orch, lab, remote):
    agent_id = lab.play(remote, {"fail": 3}).agent_id
    key = keys.agent(agent_id)
    stored = json.loads(lab.store._client.call("GET", key))
    stored["notSaved"] = {"attempt": 1, "reason": "full", "host": "build-7", "path": "/srv/w"}
    lab.store._client.call("SET", key, json.dumps(stored))
    said = orch("export", agent_id, code=1).stderr
    assert "build-7:/srv/w has it" in said
    assert "[change_missing]" in said
