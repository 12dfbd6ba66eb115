"""The Lua scripts: their text, the names of their keys, and the digest Valkey knows them by.

The header of a script declares its keys, one a line, in the order in which they are sent:

    K.name                one key
    K.name?               one key that may be left out, the last one
    K.name.{a,b}          a group: K.name.a, K.name.b
    K.name.*              a group that `lua/_name.lua` declares
    K.name[]              any number of keys, the last ones
    K.name[].field        any number of groups of keys, the last ones

From it the table `K` is generated, in front of the script. So the text, and with it the digest, is
always the same, every key goes in KEYS, and a wrong number of keys is refused before any write.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

#: What stands before every script.
_SHARED_PARTS = ("_prelude", "_budget")
#: Scripts that Valkey runs at its `maxmemory` too: they stop agents, free memory, or keep running
#: agents alive; none of them lets new work in.
_OUT_OF_MEMORY = frozenset(
    {
        *("add_to_receipt", "append_audit", "drop_session", "essential", "heartbeat", "kill"),
        *("limit_provider", "name_object", "record_capture", "recount", "refuse", "release"),
        *("revoke_key", "close_requests", "transition", "unlock"),
    }
)
_ALLOW_OUT_OF_MEMORY = "#!lua flags=allow-oom\n"
_DECLARED = re.compile(r"^--   K\.([\w.,{}\[\]*?]+)(?:\s|$)", re.MULTILINE)
_GROUP = re.compile(r"(.+)\.\{(.+)\}")

#: The keys of one call by their names; a group is a mapping or, if it is numbered, a sequence.
KeyNames = Mapping[str, "str | Sequence[str] | KeyNames | Sequence[Mapping[str, str]]"]


@dataclass(frozen=True)
class KeyLayout:
    """The names of a script's keys, as dotted paths, in the order in which they are sent."""

    fixed: tuple[str, ...]
    #: The one that may be left out; empty where there is none.
    optional: str = ""
    #: What stands at the end any number of times, and its fields; no fields: plain keys.
    repeated: str = ""
    fields: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The names that the script finds in `K`."""
        paths = (*self.fixed, self.optional, self.repeated)
        return frozenset(path.partition(".")[0] for path in paths if path)

    def arrange(self, named: KeyNames) -> tuple[str, ...]:
        """Return these keys in their order.

        Raises:
            ValueError: a key is missing, or the script has none of this name.
        """
        rest = dict(named)
        tail = rest.pop(self.repeated, ()) if self.repeated else ()
        found: dict[str, str] = {}
        _flatten(rest, "", found)
        last = (found.pop(self.optional),) if self.optional in found else ()
        if found.keys() != set(self.fixed):
            wrong = ", ".join(sorted(found.keys() ^ set(self.fixed)))
            msg = f"These keys are missing, or are none of the script's: {wrong}."
            raise ValueError(msg)
        return (*(found[path] for path in self.fixed), *last, *self._arranged(tail))

    def _arranged(self, tail: object) -> Iterator[str]:
        for item in tail if isinstance(tail, Sequence) else ():
            if not self.fields:
                yield item
            else:
                yield from (item[field] for field in self.fields)

    def lua(self) -> str:
        """Return the Lua that checks the number of keys and names them."""
        count, step = len(self.fixed), max(len(self.fields), 1)
        if self.repeated:
            is_wrong = f"#KEYS < {count} or (#KEYS - {count}) % {step} ~= 0"
        elif self.optional:
            is_wrong = f"#KEYS ~= {count} and #KEYS ~= {count + 1}"
        else:
            is_wrong = f"#KEYS ~= {count}"
        paths = (*self.fixed, *((self.optional,) if self.optional else ()))
        tree: dict[str, Any] = {}
        for number, path in enumerate(paths, start=1):
            *groups, name = path.split(".")
            branch = tree
            for group in groups:
                branch = branch.setdefault(group, {})
            branch[name] = f"KEYS[{number}]"
        text = (
            f"if {is_wrong} then refuse_argument('the number of keys', 'that of its header') end\n"
        )
        text += f"local K = {_table(tree)}\n"
        return text + (self._lua_of_repeated(count, step) if self.repeated else "")

    def _lua_of_repeated(self, count: int, step: int) -> str:
        named = ", ".join(f"{name} = KEYS[i + {at}]" for at, name in enumerate(self.fields))
        item = f"{{ {named} }}" if self.fields else "KEYS[i]"
        items = f"K.{self.repeated}"
        loop = f"for i = {count + 1}, #KEYS, {step} do {items}[#{items} + 1] = {item} end"
        return f"{items} = {{}}\n{loop}\n"


@dataclass(frozen=True)
class LuaScript:
    """One Lua script: its text, the digest Valkey knows it by, and its keys."""

    name: str
    text: str
    sha: str
    layout: KeyLayout


@cache
def script(name: str) -> LuaScript:
    """Load `lua/<name>.lua`, behind what all scripts share and the names of its keys."""
    source = source_of(name)
    layout = layout_of(source)
    prelude, *shared = (source_of(part) for part in _SHARED_PARTS)
    text = "".join((f"local SCRIPT = '{name}'\n", prelude, layout.lua(), *shared, source))
    if name in _OUT_OF_MEMORY:
        text = _ALLOW_OUT_OF_MEMORY + text
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return LuaScript(name, text, sha, layout)


def source_of(name: str) -> str:
    """Return the text of `lua/<name>.lua` as it was written."""
    return (files("orchestrator.store") / "lua" / f"{name}.lua").read_text("utf-8")


def script_names() -> tuple[str, ...]:
    """Return the name of every script."""
    folder = files("orchestrator.store") / "lua"
    names = (entry.name.removesuffix(".lua") for entry in folder.iterdir())
    return tuple(sorted(name for name in names if not name.startswith("_")))


def layout_of(source: str) -> KeyLayout:
    """Read which keys the header of a script declares."""
    fixed: list[str] = []
    optional, repeated, fields = "", "", []
    for declared in _DECLARED.findall(source.partition("\nlocal ")[0]):
        name, is_repeated, field = declared.partition("[]")
        if is_repeated:
            repeated = name
            fields += [field.removeprefix(".")] if field else []
        elif declared.endswith(".*"):
            group = declared.removesuffix(".*")
            fixed += layout_of(source_of(f"_{group}")).fixed
        elif declared.endswith("?"):
            optional = declared.removesuffix("?")
        elif group_of := _GROUP.fullmatch(declared):
            fixed += [f"{group_of[1]}.{member}" for member in group_of[2].split(",")]
        else:
            fixed.append(declared)
    return KeyLayout(tuple(fixed), optional, repeated, tuple(fields))


def _flatten(named: Any, path: str, found: dict[str, str]) -> None:
    """Add the keys of a group to those found, by their dotted paths."""
    items = named.items() if isinstance(named, Mapping) else enumerate(named)
    for name, value in items:
        if isinstance(value, str):
            found[f"{path}{name}"] = value
        else:
            _flatten(value, f"{path}{name}.", found)


def _table(tree: Mapping[str, Any]) -> str:
    parts = (
        f"{f'[{name}]' if name.isdigit() else name} = "
        f"{_table(value) if isinstance(value, Mapping) else value}"
        for name, value in tree.items()
    )
    return f"{{ {', '.join(parts)} }}"
