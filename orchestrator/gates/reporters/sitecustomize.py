"""Starts the records of test outcomes in every Python of a gate, then the next `sitecustomize`."""

import importlib.machinery
import importlib.util
import os
import sys

import orch_outcomes  # type: ignore[import-not-found,unused-ignore]

orch_outcomes.install()

_here = os.path.dirname(os.path.abspath(__file__))
_others = [path for path in sys.path if os.path.abspath(path) != _here]
_next = importlib.machinery.PathFinder.find_spec("sitecustomize", _others)
if _next is not None and _next.loader is not None:
    _next.loader.exec_module(importlib.util.module_from_spec(_next))
