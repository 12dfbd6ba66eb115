"""What of the host and of `orchestrator.toml` an environment depends on."""

from __future__ import annotations

import subprocess

from tests.unit.environments.test_recipe import NODE, recipe, steps


def test_a_package_manager_is_installed_with_the_global_configuration_of_the_host():
    """The prefix that npm gets would otherwise hide the registry and certificates of the host."""
    files = {"package.json": NODE % ', "packageManager": "pnpm@10.1.0"', "pnpm-lock.yaml": ""}
    install, _ = steps(files, "pnpm")
    assert '--globalconfig "$(npm config get globalconfig)"' in install
    shell = install.rpartition(" ")[0].replace("npm install", "npm config get globalconfig")
    ran = subprocess.run(
        ["sh", "-c", f"npm config get globalconfig && {shell}"],
        capture_output=True,
        check=True,
        text=True,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "ORCH_ENVIRONMENT": "/elsewhere"},
    )
    own, used = ran.stdout.split()[:2]
    assert used == own


def test_the_first_agent_after_orch_init_needs_no_set_up_of_its_own():
    """The commands and variables of the file count, and the file itself does not."""
    files = {"package.json": NODE % "", "package-lock.json": "{}"}
    proposed = {**files, "orchestrator.toml": "profile = 'minimal'\n[gates]\ntests = 'npm test'\n"}
    assert recipe(proposed) == recipe(files)
    own = {**files, "orchestrator.toml": "[environment]\nvariables = {A = 'b'}\n"}
    assert recipe(own) != recipe(files)
