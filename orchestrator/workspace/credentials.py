"""What opens a remote over HTTP: a token asked for at each use, and told to its own host only."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from orchestrator.errors import CredentialsUnavailable
from orchestrator.settings import Settings
from orchestrator.workspace.host_program import run_program

#: A command that asks a person never ends.
COMMAND_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Access:
    """How git is let in: configuration for its environment, never for its arguments or a file."""

    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def mask(self, text: str) -> str:
        """Return text without the credentials: a remote may say back what it was told."""
        for secret in self.secrets:
            text = text.replace(secret, "[token]")
        return text


class Credentials:
    """The tokens of this host, from GIT_TOKEN or what GIT_TOKEN_COMMAND prints."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def access(self, repository: str) -> Access:
        """Return the way into a repository; an empty one where no token is meant for its host.

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
            # For this origin alone: an unscoped header follows insteadOf and redirects.
            f"http.{origin}.extraHeader": f"Authorization: Basic {encoded}",
            "http.followRedirects": "false",
        }
        return Access(config, (encoded, token))

    def forge_token(self, repository: str) -> str:
        """Return the token for the web side of a repository's host, however git reaches it.

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
        """Return the token for a host (`name[:port]`), asked for anew; empty if it gets none.

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
            # What it printed is a secret, or was meant to be one: it is not shown.
            msg = f"GIT_TOKEN_COMMAND printed no token for {host} (exit code {ended.exit_code})."
            raise CredentialsUnavailable(msg)
        return token
