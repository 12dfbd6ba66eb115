// The category and label of an agent, from the server's table of phases, and its attention.

import { PHASES, STATUSES } from "./phases.js";
import { line } from "./text.js";

export const isActive = (agent) => !STATUSES[agent.status]?.isFinal;

/** The category of an agent: running, waiting, or its final status. */
export function standing(agent) {
  if (!isActive(agent)) return agent.status;
  return PHASES[agent.phase]?.isWaiting ? "waiting" : "running";
}

export function stateLabel(agent) {
  if (!isActive(agent)) return STATUSES[agent.status].label;
  return agent.stalledSince ? "Stalled" : PHASES[agent.phase]?.label ?? line(agent.phase);
}

/** The icon shows the state without colour. */
export function stateIcon(agent, concern) {
  const kind = standing(agent);
  return concern && kind !== "failed" ? "warn" : kind;
}

/** The attention of an agent as the server sends it: {rank, why, command}; else null. */
export function concernOf(attention) {
  if (!attention) return null;
  return { ...attention, why: line(attention.why, 600) };
}

/** Equal attention keeps its object, so that its elements are not replaced. */
export function isSame(one, other) {
  return one === other || (one && other && one.why === other.why && one.command === other.command && one.rank === other.rank);
}
