"""Opens egress proxies: one event loop in a thread of this process serves all of them."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

from orchestrator.egress.addresses import Address, is_public
from orchestrator.egress.admission import RequestLimits
from orchestrator.egress.model_api import ModelApi
from orchestrator.egress.proxy import Proxy
from orchestrator.egress.tunnel import Resolve, Tunnels, resolve_here
from orchestrator.egress.usage_observer import UsageObserver
from orchestrator.errors import EgressUnavailable
from orchestrator.host.cancel_scope import ended_by
from orchestrator.host.processes import process_label
from orchestrator.interfaces.agent import ModelAccess, UsageReport
from orchestrator.interfaces.provider import Provider
from orchestrator.interfaces.sandbox import EGRESS_PORT
from orchestrator.plugins import Family
from orchestrator.settings import Settings

PROVIDERS: Family[Provider | None] = Family(
    "orchestrator.egress.providers", "orchestrator.providers"
)
_BACKLOG = 64
_Result = TypeVar("_Result")


class EgressProxies:
    """The egress proxies of one worker process, if its settings require any.

    `new_id` makes the keys for agents; `resolve` and `is_public` decide about network addresses.
    """

    def __init__(
        self,
        settings: Settings,
        new_id: Callable[[], str],
        *,
        resolve: Resolve = resolve_here,
        is_public: Callable[[Address], bool] = is_public,
    ) -> None:
        self._settings = settings
        self._new_id = new_id
        self._resolve = resolve
        self._is_public = is_public
        # The folder has the host's name: containers that share a home do not see each other's
        # processes.
        self._folder = settings.home / "egress" / socket.gethostname()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tls: ssl.SSLContext | None = None

    @contextmanager
    def opened(
        self,
        owner: Path,
        *,
        hosts: Collection[str] = (),
        with_model: bool = False,
        on_usage: Callable[[UsageReport], None] = lambda _report: None,
        limits: RequestLimits | None = None,
    ) -> Iterator[Proxy | None]:
        """Open a proxy for programs that run as the user who owns the folder `owner`.

        Yields None if the settings give programs the network of the host. The current cancel scope
        can cut the proxy. `on_usage` is called in another thread, and must not block. `limits`
        decides about each request that needs tokens; without it, nothing limits them.

        Raises:
            EgressUnavailable: its socket cannot be made.
        """
        if not self._settings.has_egress_proxy:
            yield None
            return
        tls = self._start()
        with _folder_in(self._folder) as folder, _listening(folder / "s", owner) as listener:
            metered = (UsageObserver(on_usage), limits) if with_model else None
            proxy = self._run(self._make(folder / "s", listener, tls, hosts, metered))
            try:
                with ended_by(proxy.cut):
                    yield proxy
            finally:
                self._run(proxy.close())

    async def _make(
        self,
        path: Path,
        listener: socket.socket,
        tls: ssl.SSLContext,
        hosts: Collection[str],
        metered: tuple[UsageObserver, RequestLimits | None] | None,
    ) -> Proxy:
        meter, limits = metered or (UsageObserver(lambda _report: None), None)
        model_api = model = None
        providers = self._providers() if metered else {}
        if providers:
            model = _access(providers, f"placeholder-{self._new_id()}")
            may_fetch = self._settings.egress_model_fetches
            access = (providers, model.key, meter, tls)
            model_api = ModelApi(*access, may_fetch=may_fetch, limits=limits)
        tunnels = Tunnels(frozenset(hosts), self._resolve, self._is_public)
        return Proxy(path, listener, tunnels, model_api, meter=meter, model=model)

    def _providers(self) -> dict[str, Provider]:
        """Return the providers that the settings have a key for, by name."""
        found = {name: PROVIDERS.build(name, self._settings) for name in PROVIDERS.names()}
        return {name: provider for name, provider in found.items() if provider is not None}

    def _start(self) -> ssl.SSLContext:
        """Start the loop's thread at the first proxy: no thread exists when a pool forks."""
        with self._lock:
            if self._tls is None:
                self._tls = ssl.create_default_context()
                _sweep(self._folder)
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, daemon=True, name="egress").start()
            return self._tls

    def _run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        assert self._loop is not None  # noqa: S101 - `_start` has made it
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _access(providers: Mapping[str, Provider], key: str) -> ModelAccess:
    """Return how an agent reaches the providers through its proxy."""
    root = f"http://127.0.0.1:{EGRESS_PORT}"
    addresses = {name: root + provider.prefix for name, provider in providers.items()}
    variables = {
        name: provider.environment(addresses[name], key) for name, provider in providers.items()
    }
    return ModelAccess(root, key, addresses, variables)


@contextmanager
def _folder_in(parent: Path) -> Iterator[Path]:
    """Make a folder for one socket: a sandbox gets the folder, and must see no other socket."""
    mark = process_label(os.getpid()).replace(":", "-")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(mkdtemp(prefix=f"{mark}-", dir=parent))
    except OSError as error:
        raise _unavailable(parent, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _listening(path: Path, owner: Path) -> socket.socket:
    """Listen on a socket to which only the owner's user may connect."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            # An address of AF_UNIX has at most 107 bytes, and the path may be longer.
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
        path.chmod(0o600)
        for owned in (path, path.parent):
            os.chown(owned, owner.stat().st_uid, -1)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _unavailable(path, error) from error
    return listener


def _unavailable(path: Path, error: OSError) -> EgressUnavailable:
    return EgressUnavailable(f"{path}: {error.strerror}.")


def _sweep(folder: Path) -> None:
    """Remove the folders of worker processes that were killed."""
    for left in folder.glob("*-*-*"):
        pid, start, _ = left.name.split("-", 2)
        if process_label(int(pid)) != f"{pid}:{start}":
            shutil.rmtree(left, ignore_errors=True)
