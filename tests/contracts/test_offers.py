"""What every backend keeps that takes a model or an effort."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from orchestrator.interfaces.agent import AgentJob, HasModelDefaults, OffersModels
from orchestrator.interfaces.model_offer import ModelOffer
from orchestrator.models import AgentType
from orchestrator.settings import load_settings
from orchestrator.wiring import BACKENDS
from tests.contracts.stand_ins import path_of_stand_ins

GIVEN = {
    "CLAUDE_API_KEY": "k",
    "OPENAI_API_KEY": "k",
    "GEMINI_API_KEY": "k",
    "ORCHESTRATOR_BACKENDS__COMMAND__ARGV": json.dumps(["sh", "{model}", "{effort}"]),
}


@pytest.fixture(params=BACKENDS.names())
def backend(request, tmp_path):
    return BACKENDS.build(
        request.param, load_settings({"PATH": path_of_stand_ins(tmp_path), **GIVEN})
    )


@pytest.fixture
def job(tmp_path):
    return AgentJob("a-1", AgentType.WORKER, ("Do it.",), (), tmp_path, tmp_path)


def test_an_offer_is_names_and_patterns(backend):
    offer = ModelOffer.of(backend)
    assert all(isinstance(one, str) and one for one in (*offer.models, *offer.efforts))
    assert bool(offer.models or offer.efforts) <= isinstance(backend, OffersModels)
    for name in ("--help", ""):
        assert offer.model_fault("it", name) or "*" in offer.models


def test_a_program_gets_the_model_and_the_effort_of_its_job(backend, job):
    offer = ModelOffer.of(backend)
    named = replace(
        job,
        model_name=offer.models[0].replace("*", "m-1") if offer.models else None,
        effort=offer.efforts[0].replace("*", "e-1") if offer.efforts else None,
    )
    launch = backend.launch(named)
    given = f"{launch.argv} {launch.env} {launch.stdin!r}"
    assert all(one in given for one in (named.model_name, named.effort) if one)


def test_its_own_defaults_are_known(backend):
    if isinstance(backend, HasModelDefaults):
        assert backend.has_key in (True, False, None)
        assert {type(backend.default_model), type(backend.default_effort)} <= {str, type(None)}
