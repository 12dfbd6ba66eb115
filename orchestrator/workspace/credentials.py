"""The tokens for remotes over HTTP: requested at each use, and sent to their own host only."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from orchestrator.errors import CredentialsUnavailable
from orchestrator.settings import Settings
from orchestrator.workspace.host_program import run_program

#: The time limit of the command, which may wait for input.
COMMAND_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Access:
    """The git configuration for access, passed by environment, never by arguments or a file."""

    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def mask(self, text: str) -> str:
        """Return text without the credentials, because a remote may repeat them."""
        for secret in self.secrets:
            text = text.replace(secret, "[token]")
        return text


class Credentials:
    """The tokens of this host, from GIT_TOKEN or from the output of GIT_TOKEN_COMMAND."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def access(self, repository: str) -> Access:
        """Return the access to a repository; an empty one if no token belongs to its host.

        Raises:
            CredentialsUnavailable: the command failed, or printed nothing.
        """
        address = urlsplit(repository)
        if address.scheme not in ("http", "https"):
            return Access()
        token = self.token(address.netloc)
        if not token:
            return Access()
        login = f"{self._settings.git_username}:{token}"
        encoded = base64.b64encode(login.encode()).decode()
        origin = f"{address.scheme}://{address.netloc}/"
        config = {
            # The header is limited to this origin, because an unscoped header follows insteadOf and
            # redirects.
            f"http.{origin}.extraHeader": f"Authorization: Basic {encoded}",
            "http.followRedirects": "false",
        }
        return Access(config, (encoded, token))

    def forge_token(self, repository: str) -> str:
        """Return the token for the forge API of a repository's host, whatever protocol git uses.

        Raises:
            CredentialsUnavailable: the command failed, or printed nothing.
        """
        address = urlsplit(repository)
        if address.scheme in ("http", "https"):
            return self.token(address.netloc)
        # ssh://user@host:port/path, user@host:path
        host = address.hostname or repository.partition(":")[0].rpartition("@")[2]
        return self.token(host)

    def token(self, host: str) -> str:
        """Return a new token for a host (`name[:port]`); empty if the host has none.

        Raises:
            CredentialsUnavailable: the command failed, or printed nothing.
        """
        settings = self._settings
        hosts = settings.git_token_hosts
        if hosts and host.lower() not in hosts:
            return ""
        if settings.git_token:
            return settings.git_token.get_secret_value()
        return self._ask(settings.git_token_command, host) if settings.git_token_command else ""

    def _ask(self, command: str, host: str) -> str:
        env = {**self._settings.host_env, "GIT_TOKEN_HOST": host}
        try:
            ended = run_program(shlex.split(command), env=env, timeout_s=COMMAND_TIMEOUT_S)
        except (OSError, ValueError) as error:
            # TimeoutError is an OSError.
            msg = f"GIT_TOKEN_COMMAND cannot be run ({error})."
            raise CredentialsUnavailable(msg) from error
        token = ended.stdout.decode(errors="replace").strip()
        if ended.exit_code != 0 or not token or not token.isprintable() or " " in token:
            # The output is not shown, because it may be a secret.
            msg = f"GIT_TOKEN_COMMAND printed no token for {host} (exit code {ended.exit_code})."
            raise CredentialsUnavailable(msg)
        return token
