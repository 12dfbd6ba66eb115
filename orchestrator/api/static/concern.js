// Which agent needs somebody, why, and what to do about it. Pure: an agent and the fleet in, words out.

import { clockTime, line, short } from "./text.js";

const NEAR = 0.8;
// Error code → the command that shows the cause or takes the next step.
const COMMANDS = {
  gates_rejected: "orch gates ID",
  plan_invalid: "orch gates ID",
  change_conflicts: "orch export ID",
  push_refused: "orch export ID",
  push_failed: "orch retry ID",
  target_moves: "orch retry ID",
  coordinator_unavailable: "orch doctor",
  coordinator_refused: "orch doctor",
  backend_unavailable: "orch doctor",
  disk_full: "orch doctor",
  budget_exceeded: "orch budget",
  lease_lost: "orch retry ID",
};

/** running, waiting, completed, failed, killed: how an agent is counted. */
export function standing(agent) {
  if (agent.status === "spawning") return agent.phase === "preparing" ? "running" : "waiting";
  if (agent.status !== "running") return agent.status;
  return /^awaiting-/.test(agent.phase) ? "waiting" : "running";
}

const PHASES = {
  queued: "Queued", preparing: "Preparing", executing: "Working", capturing: "Saving",
  "awaiting-gates": "Awaits gates", gating: "In gates", "awaiting-rework": "Awaits rework",
  delivering: "Pushing",
};
const ENDS = { completed: "Completed", failed: "Failed", killed: "Killed" };

export function stateLabel(agent) {
  return ENDS[agent.status] ?? (agent.stalledSince ? "Stalled" : PHASES[agent.phase] ?? line(agent.phase));
}

/** The icon says the state without colour. */
export function stateIcon(agent, concern) {
  const kind = standing(agent);
  return concern && kind !== "failed" ? "warn" : kind;
}

export const isActive = (agent) => agent.status === "spawning" || agent.status === "running";

/** What is wrong with an agent: {rank, why, command?}, the worst with the lowest rank; or null. */
export function concernOf(agent, fleet) {
  const found = find(agent, fleet);
  if (found?.command) found.command = found.command.replace("ID", agent.agentId);
  return found;
}

function find(agent, fleet) {
  if (fleet.unconfirmed.has(agent.agentId)) {
    return {
      rank: 0,
      why: "Killed, but nobody has yet seen that nothing of it runs.",
      command: "orch receipt ID",
    };
  }
  if (agent.status === "failed") {
    // A later agent has taken the task on: this one's end is history.
    if (fleet.newestOf(agent.taskId) !== agent.agentId) return null;
    const kept = agent.isKept && !/kept/.test(agent.error ?? "") ? " What it changed is kept: retry goes on from it." : "";
    return {
      rank: agent.errorCode === "budget_exceeded" ? 1 : 2,
      why: line(agent.error || "It failed.", 600) + kept,
      command: COMMANDS[agent.errorCode] ?? "orch logs ID",
    };
  }
  if (agent.status === "completed") return delivered(agent, fleet);
  if (!isActive(agent)) return null;
  if (agent.stalledSince) {
    return {
      rank: 3,
      why: `It has said, spent and computed nothing since ${clockTime(agent.stalledSince)}.`,
      command: "orch logs -f ID",
    };
  }
  const limit = fleet.agentLimit;
  const spent = agent.usage?.totalTokens ?? 0;
  if (limit && spent >= limit * NEAR) {
    return {
      rank: 4,
      why: `It has spent ${short(spent)} of the ${short(limit)} tokens an agent may.`,
      command: "orch budget",
    };
  }
  const until = fleet.parked[agent.agent];
  if (until && standing(agent) === "waiting" && agent.phase !== "awaiting-gates") {
    return { rank: 5, why: `The provider takes no more requests: it waits until ${clockTime(until)}.` };
  }
  return null;
}

function delivered(agent, fleet) {
  if (fleet.newestOf(agent.taskId) !== agent.agentId) return null;
  if (agent.requestError) {
    return { rank: 6, why: `Pushed, but no request to merge it is open. ${line(agent.requestError, 400)}` };
  }
  if (agent.conflicts?.length) {
    return { rank: 6, why: "Pushed, but it conflicts with its target branch.", command: "orch diff ID" };
  }
  return null;
}
