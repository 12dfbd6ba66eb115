"""The tree that a screen reader reads: the list, and the panel of an agent."""

from __future__ import annotations

from playwright.sync_api import expect

LIST = r"""
- grid "Agents":
  - rowgroup:
    - row:
      - columnheader "Select all that are listed":
        - checkbox "Select all that are listed"
      - columnheader "State"
      - columnheader "Agent"
      - columnheader "Last output or reason"
      - columnheader "Gates"
      - columnheader "Tokens"
      - columnheader "Cost"
      - columnheader "Age"
  - rowgroup:
    - row "Needs attention 1":
      - rowheader "Needs attention 1"
    - row:
      - gridcell "Select REJECTED":
        - checkbox "Select REJECTED"
      - gridcell "Failed"
      - gridcell /REJECTED .* worker · shop\/backend @ main/
      - gridcell /rejected by tests; its work is kept \d+m ago/
      - gridcell "tests"
      - gridcell:
        - meter "Tokens of 2M"
      - gridcell /\$\d/
      - gridcell /^\d+m$/
    - row "Running 1":
      - rowheader "Running 1"
    - row:
      - gridcell "Select RUNNING":
        - checkbox "Select RUNNING"
      - gridcell "Working"
"""
PANEL = r"""
- complementary "Agent":
  - paragraph: Failed
  - button "Retry…"
  - button "Close"
  - heading "REJECTED" [level=2]
  - paragraph: rejected by tests; its work is kept
  - paragraph:
    - code: /orch gates .*/
    - button "Copy"
  - group: "Asked: As the ticket says."
  - term: Age
  - definition: /\d+m/
  - term: Tokens
  - definition: /of 2M/
  - term: Cost
  - definition: /\$\d/
  - tablist "Agent details":
    - tab "Output"
    - tab "Timeline"
    - tab "Gates" [selected]
    - tab "Change"
    - tab "Record"
  - tabpanel "Gates":
    - region "Gate reports":
      - heading "Rejected · pre-commit · attempt 1 · standard" [level=3]
      - table:
        - rowgroup:
          - row "Gate Result Took Exit"
        - rowgroup:
          - row "typecheck passed 2s 0":
            - rowheader "typecheck"
            - cell "passed"
          - row "make typecheck"
          - row "lint passed 2s 0"
          - row "make lint"
          - row "tests failed 2s 1":
            - rowheader "tests"
            - cell "failed"
          - row "make tests"
"""


def test_the_list_and_the_panel(seeded):
    board, seed = seeded
    running, rejected = seed.make("running"), seed.make("rejected")
    names = {"REJECTED": rejected.task_id, "RUNNING": running.task_id}
    page = board.page
    board.open()
    expect(page.get_by_role("grid")).to_match_aria_snapshot(filled(LIST, names))
    board.row(rejected.agent_id).click()
    page.get_by_role("tab", name="Gates").click()
    expect(page.get_by_role("complementary")).to_match_aria_snapshot(filled(PANEL, names))


def filled(tree: str, names: dict[str, str]) -> str:
    for name, text in names.items():
        tree = tree.replace(name, text)
    return tree
