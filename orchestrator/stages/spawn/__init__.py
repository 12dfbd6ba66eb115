"""The spawn stage: from the claim of an agent to its captured change."""
