"""What the lease protocol promises, by the names that the model and the real thing are held to."""

from __future__ import annotations

#: True in every state, whoever is stopped, late, repeated or lost.
ALWAYS = {
    "at_most_one_live_attempt": (
        "No two workers run an agent within the deadlines of their own clocks."
    ),
    "at_most_one_live_attempt_may_write": "The state takes the writes of one worker at most.",
    "a_stale_attempt_writes_nothing": (
        "A write of whom the agent was taken from, or who let go of it, changes nothing."
    ),
    "an_attempt_in_time_is_left_alone": "The sweep takes an agent only from an expired lease.",
    "a_final_state_never_changes": "Completed, failed and killed agents stay what they are.",
    "a_killed_agent_is_never_claimed": "No message, whenever it comes, starts a killed agent.",
    "at_most_one_push": (
        "The agent's branch is created once, and from its completion on holds what its state says."
    ),
    "a_held_agent_has_a_lease_or_is_recovered": (
        "An agent in a worker's phase has a lease, which ends unless it is renewed; no other has."
    ),
    "counts_add_up": "An agent stands in the index of its status and in no other.",
}

#: True again after a while without new faults.
EVENTUALLY = {
    "every_active_agent_has_a_message_a_lease_or_a_date": (
        "Nothing waits for what never comes: the sweep sends what was lost."
    ),
    "every_agent_ends": "A final state is reached.",
}
