"""What pytest-celery stands on here: our image for every part, and no registry.

Its built-in fixtures make one worker of an image it builds; those below replace them one by one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_docker_tools.wrappers.container
from celery import Celery
from pytest_celery import (
    CeleryBackendCluster,
    CeleryBrokerCluster,
    CeleryTestSetup,
    CeleryTestWorker,
    CeleryWorkerCluster,
    RedisTestBackend,
    RedisTestBroker,
)
from pytest_docker_tools import container, fxtr, network

from tests.certificates import certificate
from tests.conftest import free_port
from tests.doubles.git_http import GitServer, git_server
from tests.engine import has_image
from tests.faults.crashes.crash import DEADLINE_S
from tests.faults.crashes.sites import CUT_OFF
from tests.faults.crashes.steps import STEPS, put_programs
from tests.topology.hosts import (
    HOME,
    IMAGE,
    TOKEN,
    UID,
    Hosts,
    PoolContainer,
    ValkeyContainer,
)

#: Seconds for a container to be ready: all of them start at once, on two cores.
READY_WITHIN_S = 120
NO_CHECK = {"test": ["NONE"]}

# A machine that has /.dockerenv may still reach the ports the engine publishes.
pytest_docker_tools.wrappers.container.tests_inside_container = lambda: False


@pytest.fixture(autouse=True, scope="package")
def image() -> None:
    """Our image, built before: `make image`."""
    if not has_image(IMAGE):
        pytest.skip(f"no engine, or no {IMAGE} in it: `make topology` builds it")


# ── what they share ─────────────────────────────────────────────────────────────────────────

#: The way to Valkey, and the way to git: one can be cut without the other.
default_pytest_celery_network = network(scope="package")
code_network = network(scope="package")


@pytest.fixture(scope="package")
def valkey_ports() -> dict[str, tuple[str, int]]:
    """A port that stays the same when Valkey is started again."""
    return {"6379/tcp": ("127.0.0.1", free_port())}


default_redis_broker = container(
    scope="package",
    image=IMAGE,
    ports=fxtr("valkey_ports"),
    network="{default_pytest_celery_network.name}",
    wrapper_class=ValkeyContainer,
    timeout=READY_WITHIN_S,
    command=ValkeyContainer.command(),
    healthcheck=NO_CHECK,
)


@pytest.fixture
def celery_broker_cluster(default_redis_broker: ValkeyContainer) -> CeleryBrokerCluster:
    return CeleryBrokerCluster(RedisTestBroker(default_redis_broker))


@pytest.fixture
def celery_backend_cluster(default_redis_broker: ValkeyContainer) -> CeleryBackendCluster:
    """One Valkey is both."""
    return CeleryBackendCluster(RedisTestBackend(default_redis_broker))


@pytest.fixture(scope="package")
def remote(folder: Path, code_network: Any) -> Iterator[GitServer]:
    """A git remote behind TLS and a token, on this machine's side of the bridge."""
    address = code_network.attrs["IPAM"]["Config"][0]["Gateway"]
    _, tls = certificate(folder, address)
    with git_server(folder, login=f"agent:{TOKEN}", host=address, tls=tls) as server:
        yield server


# ── the hosts ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Homes of the two hosts, and what makes agents wait at their steps."""
    made = tmp_path_factory.mktemp("hosts")
    put_programs(made / "holds", made / "programs")
    (made / "holds").chmod(0o777)
    for home in ("home", "second"):
        (made / home).mkdir(mode=0o700)
        os.chown(made / home, UID, UID)
    return made


@pytest.fixture(scope="package")
def default_worker_env(default_redis_broker: ValkeyContainer, folder: Path, remote: GitServer):
    return {
        "VALKEY_HOST": default_redis_broker.hostname,
        "ORCHESTRATOR_SIGNING_KEY": "one for both hosts",
        "ORCHESTRATOR_AGENT": "scripted",
        **CUT_OFF,
        "ORCHESTRATOR_SUPERVISOR_DEADLINE": f"{DEADLINE_S}s",
        "ORCHESTRATOR_GATE_WORKERS": "8",
        "MAX_CONCURRENT_AGENTS": str(len(STEPS)),
        "GIT_USERNAME": "agent",
        "GIT_TOKEN": TOKEN,
        "GIT_TOKEN_HOSTS": remote.url.removeprefix("https://"),
        "PATH": f"{folder}/programs:/opt/orchestrator/bin:/usr/bin:/bin",
    }


def _mounted(home: str) -> Callable[..., dict[str, dict[str, str]]]:
    @pytest.fixture(scope="package")
    def volumes(folder: Path, remote: GitServer) -> dict[str, dict[str, str]]:
        del remote  # it makes the certificate
        return {
            str(folder / home): {"bind": HOME, "mode": "rw"},
            str(folder / "holds"): {"bind": str(folder / "holds"), "mode": "rw"},
            str(folder / "programs"): {"bind": str(folder / "programs"), "mode": "ro"},
            str(folder / "remote.pem"): {
                "bind": "/etc/ssl/certs/ca-certificates.crt",
                "mode": "ro",
            },
        }

    return volumes


first_volumes = _mounted("home")
second_volumes = _mounted("second")


def _pool(part: str, host: str) -> Any:
    return container(
        scope="package",
        image=IMAGE,
        hostname=f"{part}-{host}",
        environment=fxtr("default_worker_env"),
        network="{default_pytest_celery_network.name}",
        volumes=fxtr(f"{host}_volumes"),
        wrapper_class=PoolContainer if part != "scheduler" else None,
        timeout=READY_WITHIN_S,
        command=["orch", "run", part],
        healthcheck=NO_CHECK,
    )


first_spawn = _pool("spawn", "first")
first_cleanup = _pool("cleanup", "first")
second_gates = _pool("gates", "second")
second_cleanup = _pool("cleanup", "second")
scheduler = _pool("scheduler", "second")
#: So that pytest-celery builds no image.
default_worker_container = first_spawn


@pytest.fixture
def default_worker_tasks() -> set[Any]:
    """Ours are in the image."""
    return set()


@pytest.fixture
def pools(
    first_spawn: PoolContainer,
    first_cleanup: PoolContainer,
    second_gates: PoolContainer,
    second_cleanup: PoolContainer,
    code_network: Any,
    celery_setup_app: Celery,
) -> dict[str, CeleryTestWorker]:
    """Every worker, by the name of its container, connected to the remote too."""
    found = {}
    for each in (first_spawn, first_cleanup, second_gates, second_cleanup):
        if code_network.name not in each.attrs["NetworkSettings"]["Networks"]:
            code_network.connect(each.id)
        found[each.attrs["Config"]["Hostname"]] = CeleryTestWorker(each, celery_setup_app)
    for pool in found.values():
        pool.wait_for_log(" ready.", timeout=READY_WITHIN_S)
    return found


@pytest.fixture
def celery_worker_cluster(pools: dict[str, CeleryTestWorker]) -> CeleryWorkerCluster:
    return CeleryWorkerCluster(*pools.values())


@pytest.fixture
def hosts(
    celery_setup: CeleryTestSetup,
    pools: dict[str, CeleryTestWorker],
    scheduler: Any,
    folder: Path,
    remote: GitServer,
) -> Callable[[Iterable[str]], Any]:
    """The hosts, with agents of these names begun and watched."""
    del scheduler

    @contextmanager
    def begun(names: Iterable[str]) -> Iterator[Hosts]:
        url = celery_setup.broker.config()["host_url"]
        hosts = Hosts(folder, pools, url, remote, names)
        with hosts.watch:
            hosts.begin()
            yield hosts

    return begun
