"""The file with a git token that the page of the deployment shows works beside compose.yaml."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

from tests.docs.test_pages import ROOT

PAGE = ROOT / "docs" / "deploying.md"


def test_only_the_pools_that_reach_remotes_get_the_token(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    site = tmp_path / "site.yaml"
    site.write_text(shown, "utf-8")
    command = ["docker-compose", "-f", "deploy/compose.yaml", "-f", str(site), "config"]
    ran = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    config = yaml.safe_load(ran.stdout)
    with_token = {
        name
        for name, service in config["services"].items()
        if "GIT_TOKEN_FILE" in service.get("environment", {})
    }
    assert with_token == {"worker-spawn", "worker-gates"}
    for name in with_token:
        service = config["services"][name]
        # Those of compose.yaml stay.
        sources = {one["source"] for one in service["secrets"]}
        assert sources == {"git_token", "valkey_password", "signing_key", "claude_api_key"}
        assert service["environment"]["VALKEY_HOST"] == "valkey"
    # `deploy/secrets.sh` makes the files of this folder readable for the containers.
    assert config["secrets"]["git_token"]["file"] == str(ROOT / "deploy/secrets/git_token")
