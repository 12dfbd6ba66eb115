"""The configuration files of a project as tables; a file that cannot be read has none.

The installation itself reports the fault of such a file.
"""

from __future__ import annotations

import configparser
import tomllib
from collections.abc import Mapping
from typing import Any

from orchestrator.gates.detection import BaseFiles
from orchestrator.repo_config.toml import read_toml


def read_document(files: BaseFiles, path: str) -> Mapping[str, Any]:
    """Return the tables of a TOML file."""
    try:
        return read_toml(files.text(path))
    except tomllib.TOMLDecodeError:
        return {}


def read_setup_cfg(files: BaseFiles) -> Mapping[str, Mapping[str, str]]:
    """Return the sections of setup.cfg."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(files.text("setup.cfg"))
    except (configparser.Error, ValueError):
        return {}
    return {name: dict(parser[name]) for name in parser.sections()}
