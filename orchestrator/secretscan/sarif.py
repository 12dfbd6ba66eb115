"""Findings as SARIF 2.1.0, for forges and editors: positions and fingerprints, no snippets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from orchestrator.models import SecretFinding

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(findings: Iterable[SecretFinding]) -> dict[str, Any]:
    """Return one run of one tool, a result for each finding."""
    findings = tuple(findings)
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "orch scan",
                        "rules": [{"id": rule} for rule in sorted({f.rule for f in findings})],
                    }
                },
                "results": [_result(finding) for finding in findings],
            }
        ],
    }


def _result(finding: SecretFinding) -> dict[str, Any]:
    where = f" (commit {finding.commit})" if finding.commit else ""
    return {
        "ruleId": finding.rule,
        "level": "error",
        "message": {"text": f"A secret by rule {finding.rule}{where}; rewrite what adds it."},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(finding.file)},
                    "region": {"startLine": finding.line},
                }
            }
        ],
        "partialFingerprints": {"orchestratorSecret/v1": finding.fingerprint},
    }
