"""Rust: what Cargo brings; it has no coverage of its own, so that gate must be configured."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.interfaces.gate import GateCommand


class Rust:
    """Detects by Cargo.toml."""

    def commands(self, read: Callable[[str], bytes | None]) -> Mapping[str, GateCommand]:
        """Return the commands of a Cargo package or workspace."""
        if read("Cargo.toml") is None:
            return {}
        # Without --workspace a root package hides its members; without -D warnings clippy
        # passes whatever it finds.
        return {
            "typecheck": GateCommand("cargo check --workspace --all-targets"),
            "lint": GateCommand("cargo clippy --workspace --all-targets -- -D warnings"),
            "tests": GateCommand("cargo test --workspace"),
            "build": GateCommand("cargo build --workspace"),
        }


def build(settings: object) -> Rust:
    """Build the detector."""
    del settings
    return Rust()
