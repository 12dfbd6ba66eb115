// The known state of the agents: read once, updated by events, corrected by their records.

import { concernOf, isActive, isSame, standing } from "./concern.js";
import { STATUSES } from "./phases.js";
import { plain } from "./text.js";

export const MOST = 2000;
const FIRST_PAGE = 100;
const PAGE = 500;
const CLOSE_LOOK = 100;
// The number of active agents out of sight that each refresh reads, in turn.
const OUT_OF_SIGHT = 20;
// The order of statuses: active ones in their order, then the final ones; none goes back.
const ORDER = Object.keys(STATUSES);
const RANK = Object.fromEntries(ORDER.map((name, at) => [name, STATUSES[name].isFinal ? ORDER.length : at]));
export const GROUPS = ["attention", "running", "waiting", "ended", "sorted"];
export const FILTERS = {
  all: "All", attention: "Needs attention", running: "Running", waiting: "Waiting",
  completed: "Completed", failed: "Failed", killed: "Killed",
};
const spent = (entry) => entry.agent.usage?.totalTokens ?? 0;
const cost = (entry) => entry.agent.usage?.costUsd ?? 0;
const born = (entry) => Date.parse(entry.agent.spawnedAt);
const lasted = (entry) => (entry.agent.completedAt ? Date.parse(entry.agent.completedAt) : Date.now()) - born(entry);
const text = (one, other) => (one < other ? -1 : one > other ? 1 : 0);
/** The orders of the list: title and comparison; `attention` keeps the groups. */
export const SORTS = {
  attention: { title: "Attention first", order: null },
  newest: { title: "Newest", order: (a, b) => born(b) - born(a) },
  oldest: { title: "Oldest", order: (a, b) => born(a) - born(b) },
  age: { title: "Longest", order: (a, b) => lasted(b) - lasted(a) },
  tokens: { title: "Most tokens", order: (a, b) => spent(b) - spent(a) },
  cost: { title: "Highest cost", order: (a, b) => cost(b) - cost(a) },
  task: { title: "Task", order: (a, b) => text(a.agent.taskId, b.agent.taskId) },
  repo: { title: "Repository", order: (a, b) => text(a.agent.repository ?? "", b.agent.repository ?? "") },
  cause: { title: "Cause", order: (a, b) => text(causeOf(b), causeOf(a)) },
};
const causeOf = ({ agent, concern }) => (concern ? concern.code ?? "" : agent.errorCode ?? "");

export class Fleet {
  entries = new Map();
  counts = {};
  halt = null;
  agentLimit = 0;
  paused = [];
  isComplete = true;
  #newest = new Map();
  #dirty = new Set();
  #get;
  #changed;

  /** `get` reads a document, `changed` is called on every change, `concerned` for new attention. */
  constructor({ get, changed, concerned }) {
    this.#get = get;
    this.#changed = changed;
    this.concerned = concerned;
  }

  /** Read all agents again, newest first; agents without a record are removed. */
  async load({ isNews = false } = {}) {
    const seen = new Set();
    let cursor = "";
    do {
      const limit = seen.size ? PAGE : FIRST_PAGE;
      const page = await this.#get(`/agents?attention=true&limit=${limit}&cursor=${encodeURIComponent(cursor)}`);
      for (const agent of page.agents) {
        seen.add(agent.agentId);
        this.#take(agent, { attention: page.attention?.[agent.agentId] ?? null, isNews });
      }
      cursor = page.nextCursor ?? "";
      this.#changed();
    } while (cursor && seen.size < MOST);
    this.isComplete = !cursor;
    if (cursor) await this.#loadUrgent(seen, isNews);
    for (const id of this.entries.keys()) if (!seen.has(id) && !this.#dirty.has(id)) this.entries.delete(id);
    this.#changed();
  }

  // Those of the server's list, at any age: it examines the newest of each state.
  async #loadUrgent(seen, isNews) {
    let cursor = "";
    do {
      const page = await this.#get(`/agents?urgent=true&limit=${PAGE}&cursor=${encodeURIComponent(cursor)}`);
      for (const agent of page.agents) {
        seen.add(agent.agentId);
        this.#take(agent, { attention: page.attention[agent.agentId], isNews });
      }
      cursor = page.nextCursor ?? "";
    } while (cursor);
  }

  /** Apply the fields of an event at once; the next refresh reads the whole record. */
  hear(event) {
    const id = event.agentId;
    if (!id) return;
    this.#dirty.add(id);
    const known = this.entries.get(id)?.agent;
    const said = {};
    for (const name of ["status", "phase", "attempt", "error", "errorCode"]) {
      if (event[name] !== undefined) said[name] = event[name];
    }
    if (!known) {
      if (event.type !== "agent.spawning") return;
      this.#take({ agentId: id, taskId: event.taskId, spawnedAt: event.timestamp, usage: {}, ...said });
    } else if (isNewer(known, said)) {
      if (event.type === "agent.stalled") said.stalledSince = event.timestamp;
      if (event.type === "agent.active") said.stalledSince = undefined;
      if (RANK[said.status] === 2) said.completedAt = known.completedAt ?? event.timestamp;
      this.#take({ ...known, ...said });
    }
    this.#changed();
  }

  get hasNews() {
    return this.#dirty.size > 0;
  }

  /** Refresh the summary of the fleet, the changed agents, and these agents. */
  async look(ids) {
    const moved = [...this.#dirty].slice(0, CLOSE_LOOK);
    const asked = [...new Set([...moved, ...ids, ...this.#unconfirmed, ...this.#inTurn()])].slice(0, CLOSE_LOOK);
    for (const id of moved) this.#dirty.delete(id);
    let seen;
    try {
      seen = await this.#get(`/fleet?agents=${asked.map(encodeURIComponent).join(",")}`);
    } catch (error) {
      for (const id of moved) this.#dirty.add(id);
      throw error;
    }
    this.counts = seen.counts ?? {};
    this.halt = seen.halt ?? null;
    // An agent whose record is gone (its retention has ended) is removed.
    const gone = new Set(asked);
    for (const { agent, lastOutput, attention } of seen.agents ?? []) {
      gone.delete(agent.agentId);
      this.#take(agent, { lastOutput, attention: attention ?? null });
    }
    for (const id of gone) this.entries.delete(id);
    this.#dirtyBy(seen);
    this.#prune();
    this.#changed();
  }
  #context = null;
  #unconfirmed = [];
  #turn = 0;

  // No event of an agent reports a cause that delays many: after a change all of them are read again.
  #dirtyBy({ halt, rateLimited, unconfirmed = [] }) {
    for (const id of this.#unconfirmed) if (!unconfirmed.includes(id)) this.#dirty.add(id);
    this.#unconfirmed = unconfirmed.slice(0, OUT_OF_SIGHT);
    const context = JSON.stringify([halt?.at, rateLimited, this.agentLimit, this.paused]);
    if (this.#context !== null && context !== this.#context) {
      for (const entry of this.entries.values()) if (isActive(entry.agent)) this.#dirty.add(entry.id);
    }
    this.#context = context;
  }

  // Tokens and time run out without an event.
  #inTurn() {
    const active = [...this.entries.values()].filter((entry) => isActive(entry.agent));
    if (this.#turn >= active.length) this.#turn = 0;
    const some = active.slice(this.#turn, this.#turn + OUT_OF_SIGHT);
    this.#turn += some.length;
    return some.map((entry) => entry.id);
  }

  get(id) {
    return this.entries.get(id);
  }

  /** Read these agents again at the next look. */
  recheck(ids) {
    for (const id of ids) this.#dirty.add(id);
  }

  get activeCount() {
    return (this.counts.spawning ?? 0) + (this.counts.running ?? 0);
  }

  /** The agents of a filter and a search in their groups, or sorted; each in a stable order. */
  arranged(filter, words, sort) {
    const groups = { attention: [], running: [], waiting: [], ended: [], sorted: [] };
    const { order } = SORTS[sort];
    const counts = { all: 0, attention: 0, running: 0, waiting: 0, completed: 0, failed: 0, killed: 0 };
    for (const entry of this.entries.values()) {
      counts.all += 1;
      counts[entry.standing] += 1;
      if (entry.concern) counts.attention += 1;
      if (filter === "attention" ? !entry.concern : filter !== "all" && entry.standing !== filter) continue;
      if (words.length && !words.every((word) => haystack(entry).includes(word))) continue;
      groups[order ? "sorted" : entry.group].push(entry);
    }
    if (order) groups.sorted.sort((a, b) => order(a, b) || text(a.id, b.id));
    groups.attention.sort((a, b) => a.concern.rank - b.concern.rank || later(a, b));
    for (const name of ["running", "waiting", "ended"]) groups[name].sort(later);
    return { groups, counts };
  }

  #take(agent, { lastOutput, attention, isNews = true } = {}) {
    const id = agent.agentId;
    let entry = this.entries.get(id);
    if (!entry) {
      entry = { id, agent, concern: null, lastOutput: null };
      this.entries.set(id, entry);
    } else if (!isNewer(entry.agent, agent)) {
      return;
    }
    entry.agent = agent;
    if (lastOutput) entry.lastOutput = lastOutput;
    entry.text = null;
    entry.version = (entry.version ?? 0) + 1;
    const newest = this.#newest.get(agent.taskId);
    if (!newest || newest.spawnedAt < agent.spawnedAt) {
      this.#newest.set(agent.taskId, agent);
      // The task continues with this agent: the attention of its last agent may be obsolete.
      if (newest && newest.agentId !== id) this.#dirty.add(newest.agentId);
    }
    const before = entry.concern;
    // The event does not contain it: the last value remains until the next refresh.
    if (attention !== undefined) {
      const concern = concernOf(attention);
      if (!isSame(concern, before)) entry.concern = concern;
    }
    entry.standing = standing(agent);
    entry.group = entry.concern ? "attention" : isActive(agent) ? entry.standing : "ended";
    if (isNews && entry.concern && !before) this.concerned(entry);
  }

  #prune() {
    if (this.entries.size <= MOST * 1.5) return;
    const ended = [...this.entries.values()].filter((entry) => entry.group === "ended").sort(later);
    for (const entry of ended.slice(-(this.entries.size - MOST))) this.entries.delete(entry.id);
    this.isComplete = false;
  }
}

// An event may arrive after a newer record: the status does not go back.
function isNewer(known, said) {
  const status = said.status ?? known.status;
  if (RANK[status] < RANK[known.status]) return false;
  return (said.attempt ?? known.attempt ?? 0) >= (known.attempt ?? 0);
}

const instant = (entry) => entry.agent.completedAt ?? entry.agent.spawnedAt;

function later(a, b) {
  const [one, two] = a.group === "ended" ? [instant(b), instant(a)] : [b.agent.spawnedAt, a.agent.spawnedAt];
  return one < two ? -1 : one > two ? 1 : a.id < b.id ? -1 : 1;
}

function haystack(entry) {
  const { agent } = entry;
  entry.text ??= plain(
    [agent.taskId, agent.agentId, agent.repository, agent.baseBranch, agent.branch, agent.agentType,
      agent.agent, agent.worker, entry.concern?.code, agent.status, agent.phase, agent.errorCode, agent.error].join("\n"),
    4000,
  ).toLowerCase();
  return entry.text;
}
