"""The allow list: the findings that the operator accepts; agents cannot edit it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from orchestrator.errors import SettingsInvalid
from orchestrator.models import SecretFinding, faults_of

_ACTION = (
    "Correct the file that ORCHESTRATOR_SECRET_ALLOW_LIST names; docs/secrets.md has its form."
)


class Allowed(BaseModel):
    """One entry: what it allows, where, and why; a field that it does not set matches anything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")
    rule: str | None = Field(default=None, min_length=1)
    repository: str | None = Field(default=None, min_length=1)
    reason: str = Field(min_length=1)

    @model_validator(mode="after")
    def _check_it_names_something(self) -> Allowed:
        if self.fingerprint is None and self.rule is None:
            msg = "must name a fingerprint or a rule"
            raise ValueError(msg)
        return self

    def allows(self, finding: SecretFinding, repository: str) -> bool:
        """Whether this entry allows the finding."""
        return (
            self.fingerprint in (None, finding.fingerprint)
            and self.rule in (None, finding.rule)
            and self.repository in (None, repository)
        )


class AllowList(BaseModel):
    """The `[[allow]]` entries of one TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: tuple[Allowed, ...] = ()

    @classmethod
    def load(cls, path: Path | None) -> AllowList:
        """Read the list; without a file nothing is allowed.

        Raises:
            SettingsInvalid: the file cannot be read, or an entry of it is wrong.
        """
        if path is None:
            return cls()
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            msg = f"{path} cannot be read ({error.strerror})."
            raise SettingsInvalid(msg, action=_ACTION) from error
        except ValidationError as error:
            where, message = faults_of(error)[0]
            msg = f"{path}: {where}: {message}."
            raise SettingsInvalid(msg, action=_ACTION) from error
        except ValueError as error:
            msg = f"{path} is no TOML ({error})."
            raise SettingsInvalid(msg, action=_ACTION) from error

    def allows(self, finding: SecretFinding, repository: str) -> bool:
        """Whether any entry allows the finding."""
        return any(entry.allows(finding, repository) for entry in self.allow)
