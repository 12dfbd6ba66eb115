// What is known of the agents: read once, moved on by events, corrected by their records.

import { concernOf, isActive, standing } from "./concern.js";
import { plain } from "./text.js";

export const MOST = 2000;
const FIRST_PAGE = 100;
const PAGE = 500;
const CLOSE_LOOK = 100;
// What runs of a killed agent is usually seen dead within a second or two.
const CONFIRMED_WITHIN_MS = 10_000;
const RANK = { spawning: 0, running: 1, completed: 2, failed: 2, killed: 2 };
export const GROUPS = ["attention", "running", "waiting", "ended"];

export class Fleet {
  entries = new Map();
  counts = {};
  halt = null;
  unconfirmed = new Set();
  parked = {};
  agentLimit = 0;
  isComplete = true;
  #newest = new Map();
  #dirty = new Set();
  #get;
  #changed;

  /** `get` reads a document, `changed` hears of every change; `concerned` of an agent that now needs somebody. */
  constructor({ get, changed, concerned }) {
    this.#get = get;
    this.#changed = changed;
    this.concerned = concerned;
  }

  newestOf(taskId) {
    return this.#newest.get(taskId)?.agentId;
  }

  /** Read every agent anew, the newest first; what is gone is forgotten. */
  async load() {
    const seen = new Set();
    let cursor = "";
    do {
      const limit = seen.size ? PAGE : FIRST_PAGE;
      const page = await this.#get(`/agents?limit=${limit}&cursor=${encodeURIComponent(cursor)}`);
      for (const agent of page.agents) {
        seen.add(agent.agentId);
        this.#take(agent, { isNews: false });
      }
      cursor = page.nextCursor ?? "";
      this.#changed();
    } while (cursor && seen.size < MOST);
    this.isComplete = !cursor;
    for (const id of this.entries.keys()) if (!seen.has(id) && !this.#dirty.has(id)) this.entries.delete(id);
    // Who failed before this page was opened may have left work: that is not in the list.
    for (const entry of this.entries.values()) if (entry.concern?.rank === 2) this.#dirty.add(entry.id);
    this.#changed();
  }

  /** Take in an event: at once what it says itself, the whole record with the next look. */
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

  /** Look at the fleet, at what has moved, and at these agents. */
  async look(ids) {
    const moved = [...this.#dirty].slice(0, CLOSE_LOOK);
    const asked = [...new Set([...moved, ...ids])].slice(0, CLOSE_LOOK);
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
    // One whose record is gone (its retention has ended) is no agent any more.
    const gone = new Set(asked);
    for (const { agent, ...close } of seen.agents ?? []) {
      gone.delete(agent.agentId);
      this.#take(agent, { close });
    }
    for (const id of gone) this.entries.delete(id);
    const late = (seen.unconfirmed ?? []).filter((id) => Date.now() - Date.parse(this.get(id)?.agent.completedAt) > CONFIRMED_WITHIN_MS);
    const context = JSON.stringify([late, seen.parked ?? {}, this.agentLimit]);
    this.unconfirmed = new Set(late);
    this.parked = seen.parked ?? {};
    if (context !== this.#context) {
      this.#context = context;
      for (const entry of this.entries.values()) this.#judge(entry);
    }
    this.#prune();
    this.#changed();
  }
  #context = "";

  get(id) {
    return this.entries.get(id);
  }

  get activeCount() {
    return (this.counts.spawning ?? 0) + (this.counts.running ?? 0);
  }

  /** The agents of a filter and a search in their groups, each group in an order that stays. */
  arranged(filter, words) {
    const groups = { attention: [], running: [], waiting: [], ended: [] };
    const counts = { all: 0, attention: 0, running: 0, waiting: 0, completed: 0, failed: 0, killed: 0 };
    for (const entry of this.entries.values()) {
      counts.all += 1;
      counts[entry.standing] += 1;
      if (entry.concern) counts.attention += 1;
      if (filter === "attention" ? !entry.concern : filter !== "all" && entry.standing !== filter) continue;
      if (words.length && !words.every((word) => haystack(entry).includes(word))) continue;
      groups[entry.group].push(entry);
    }
    groups.attention.sort((a, b) => a.concern.rank - b.concern.rank || later(a, b));
    for (const name of ["running", "waiting", "ended"]) groups[name].sort(later);
    return { groups, counts };
  }

  #take(agent, { close, isNews = true } = {}) {
    const id = agent.agentId;
    let entry = this.entries.get(id);
    if (!entry) {
      entry = { id, agent, concern: null, lastOutput: null };
      this.entries.set(id, entry);
    } else if (!isNewer(entry.agent, agent)) {
      return;
    }
    entry.agent = close ? { ...agent, isKept: close.isKept } : { isKept: entry.agent.isKept, ...agent };
    if (close?.lastOutput) entry.lastOutput = close.lastOutput;
    entry.text = null;
    entry.version = (entry.version ?? 0) + 1;
    const newest = this.#newest.get(agent.taskId);
    if (!newest || newest.agentId === id || newest.spawnedAt < agent.spawnedAt) {
      this.#newest.set(agent.taskId, agent);
      const other = newest && newest.agentId !== id && this.entries.get(newest.agentId);
      if (other) this.#judge(other);
    }
    this.#judge(entry, isNews);
  }

  #judge(entry, isNews = false) {
    const before = entry.concern;
    const { agent } = entry;
    entry.concern = concernOf(agent, this);
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

// An event may come after a record that is further on: nothing goes back.
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
      agent.agent, agent.worker, agent.status, agent.phase, agent.errorCode, agent.error].join("\n"),
    4000,
  ).toLowerCase();
  return entry.text;
}
