// How an agent is counted and named, by the server's table of phases; whom it needs, the server says.

import { PHASES, STATUSES } from "./phases.js";
import { line } from "./text.js";

export const isActive = (agent) => !STATUSES[agent.status]?.isFinal;

/** running, waiting, or the status it ended with: how an agent is counted. */
export function standing(agent) {
  if (!isActive(agent)) return agent.status;
  return PHASES[agent.phase]?.isWaiting ? "waiting" : "running";
}

export function stateLabel(agent) {
  if (!isActive(agent)) return STATUSES[agent.status].label;
  return agent.stalledSince ? "Stalled" : PHASES[agent.phase]?.label ?? line(agent.phase);
}

/** The icon says the state without colour. */
export function stateIcon(agent, concern) {
  const kind = standing(agent);
  return concern && kind !== "failed" ? "warn" : kind;
}

/** What the server says of an agent that needs somebody: {rank, why, command}; else null. */
export function concernOf(attention) {
  if (!attention) return null;
  return { ...attention, why: line(attention.why, 600) };
}

/** The same words are no other concern: what is shown of it stays. */
export function isSame(one, other) {
  return one === other || (one && other && one.why === other.why && one.command === other.command && one.rank === other.rank);
}
