"""setup.cfg as tables."""

from __future__ import annotations

import configparser
from collections.abc import Mapping

from orchestrator.gates.detection import BaseFiles


def read_setup_cfg(files: BaseFiles) -> Mapping[str, Mapping[str, str]]:
    """Return the sections of setup.cfg; none if it is malformed, which the installation reports."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(files.text("setup.cfg"))
    except (configparser.Error, ValueError):
        return {}
    return {name: dict(parser[name]) for name in parser.sections()}
