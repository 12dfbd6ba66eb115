"""A warning is a record: its codes are those the scripts write, and no class of errors is one."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.errors import OrchestratorError
from orchestrator.models.warning import AgentWarning, WarningCode
from orchestrator.store import agent_transitions
from tests.attention_cases import CASES, NOW

LUA = Path(agent_transitions.__file__).parent / "lua"


def test_the_scripts_warn_by_codes_that_the_table_has():
    texts = "".join(path.read_text() for path in LUA.glob("*.lua"))
    written = set(re.findall(r"type = 'agent.warning', errorCode = '(\w+)'", texts))
    assert written == {WarningCode.USAGE_REFUSED, WarningCode.BUDGET_EXCEEDED}


def test_what_can_only_be_warned_of_is_no_error():
    def codes(kind):
        yield kind.code
        for below in kind.__subclasses__():
            yield from codes(below)

    assert not {WarningCode.TIME_RUNNING_OUT, WarningCode.USAGE_REFUSED} & set(
        codes(OrchestratorError)
    )


def test_a_warning_is_told_by_its_event_and_changes_nothing_of_the_agent():
    warning = AgentWarning(code=WarningCode.TIME_RUNNING_OUT, text="20 s left.")
    operation = agent_transitions.warn(CASES[0].agent, warning, now=NOW)
    sent = next(one for one in operation.arguments if str(one).startswith('{"agentId"'))
    assert '"patch": {}' in sent
    assert '"type": "agent.warning"' in sent
    assert '"error": "20 s left."' in sent
    assert '"errorCode": "time_warning"' in sent
