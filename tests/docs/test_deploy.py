"""What the page of the deployment says of files that only other machines use."""

from __future__ import annotations

import os
import subprocess

import yaml

from tests.docs.test_pages import ROOT

_FILES = ("deploy/compose.yaml", "deploy/compose.hosts.yaml")


def test_every_part_of_a_further_host_uses_the_shared_valkey():
    """The network of the local Valkey is internal: each part needs another one beside it."""
    command = ["docker-compose", *(word for name in _FILES for word in ("-f", name)), "config"]
    given = os.environ | {"VALKEY_HOST": "valkey.example.org", "HOST_NAME": "host2"}
    ran = subprocess.run(command, cwd=ROOT, env=given, check=True, capture_output=True, text=True)
    services = yaml.safe_load(ran.stdout)["services"]
    parts = {name: services[name] for name in services if name not in ("valkey", "flower")}
    assert len(parts) == 5
    for name, part in parts.items():
        assert part["environment"]["VALKEY_HOST"] == "valkey.example.org", name
        assert part["environment"]["VALKEY_TLS"] == "true", name
        assert "outside" in part["networks"], name
    workers = [part["hostname"] for name, part in parts.items() if name.startswith("worker-")]
    assert sorted(workers) == ["host2-cleanup", "host2-gates", "host2-spawn"]
