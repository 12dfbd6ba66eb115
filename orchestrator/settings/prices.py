"""The price table: dollars per million tokens of each model, as shipped and as an operator sets."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.errors import SettingsInvalid

_MILLION = 1_000_000
#: What a name may have after that of an entry: a date or a snapshot, never another model's version.
_DATED = re.compile(r"[-@:](\d{3,8}|\d{4}-\d{2}-\d{2}|\d{2}-\d{2,4}|latest)")
#: Claude Code names the size of the context window so: `claude-opus-5[1m]`.
_WINDOW = re.compile(r"\[\w+\]$")
_Dollars = Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)]


class Price(BaseModel):
    """The dollars per million tokens of one model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: _Dollars
    output: _Dollars
    #: That of the input if absent.
    cache_read: _Dollars | None = None
    cache_write: _Dollars | None = None

    def cost_usd(
        self,
        *,
        input_tokens: int = 0,
        output_tokens: int = 0,
        cache_read_tokens: int = 0,
        cache_write_tokens: int = 0,
    ) -> float:
        """Return the cost of these tokens in dollars."""
        read = self.input if self.cache_read is None else self.cache_read
        write = self.input if self.cache_write is None else self.cache_write
        dollars = (
            input_tokens * self.input
            + output_tokens * self.output
            + cache_read_tokens * read
            + cache_write_tokens * write
        )
        return dollars / _MILLION

    @property
    def most_of_prompt(self) -> float:
        """The highest price of a token of a prompt, whatever part of it is cached."""
        return max(self.input, self.cache_read or 0.0, self.cache_write or 0.0)


class _PriceFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    date: date
    sources: tuple[str, ...] = ()
    #: Provider, model, and its price or the name of the entry with the same price.
    providers: dict[str, dict[str, Price | str]]


class PriceTable(BaseModel):
    """The prices of all files: those of an operator precede the shipped ones."""

    model_config = ConfigDict(frozen=True)

    providers: Mapping[str, Mapping[str, Price | str]]
    #: Each file and its date.
    files: tuple[str, ...]

    def of(self, model: str) -> Price | None:
        """Return the price of `PROVIDER/MODEL` or of a name alone; None if it has none.

        A name alone is looked up at all providers.
        """
        name = _WINDOW.sub("", model)
        provider, _, rest = name.partition("/")
        if rest and provider in self.providers:
            return _entry(self.providers[provider], rest)
        found = (_entry(entries, name) for entries in self.providers.values())
        return next(filter(None, found), None)


def _entry(entries: Mapping[str, Price | str], name: str) -> Price | None:
    fits = (one for one in entries if name == one or _is_dated(name, one))
    found = entries.get(max(fits, key=len, default=""))
    return entries[found] if isinstance(found, str) else found  # type: ignore[return-value]


def _is_dated(name: str, known: str) -> bool:
    return name.startswith(known) and bool(_DATED.fullmatch(name[len(known) :]))


def _read(text: str, path: str) -> _PriceFile:
    try:
        document: dict[str, Any] = tomllib.loads(text)
        facts = {name: document.pop(name) for name in ("date", "sources") if name in document}
        found = _PriceFile(**facts, providers=document)
    except tomllib.TOMLDecodeError as error:
        msg = f"{path}: {error}."
        raise SettingsInvalid(msg) from error
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])).removeprefix("providers.")
        msg = f"{path}: {where}: {fault['msg']}."
        raise SettingsInvalid(msg) from error
    return found


def _table(*named: tuple[str, _PriceFile]) -> PriceTable:
    merged: dict[str, dict[str, Price | str]] = {}
    for _, one in reversed(named):
        for provider, entries in one.providers.items():
            merged.setdefault(provider, {}).update(entries)
    for path, one in named:
        for provider, entries in one.providers.items():
            for name, entry in entries.items():
                if isinstance(entry, str) and not isinstance(merged[provider].get(entry), Price):
                    msg = f"{path}: {provider}.{name}: there is no price of {entry!r}."
                    raise SettingsInvalid(msg)
    listed = tuple(f"{path} of {one.date.isoformat()}" for path, one in named)
    return PriceTable(providers=merged, files=listed)


@cache
def price_table(path: Path | None) -> PriceTable:
    """Return the shipped prices, preceded by those of a file if one is given.

    Raises:
        SettingsInvalid: the file cannot be read, or is malformed.
    """
    name = "prices.toml"
    shipped = (name, _read((files(__package__) / name).read_text("utf-8"), name))
    if path is None:
        return _table(shipped)
    own = f"ORCHESTRATOR_PRICES: {path}"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{own} cannot be read ({error})."
        raise SettingsInvalid(msg) from error
    return _table((own, _read(text, own)), shipped)
