// The page: the displayed state of the fleet, its refresh, and navigation.

import { byId, h, say, set, write } from "./dom.js";
import { Detail } from "./detail.js";
import { Dialogs } from "./dialogs.js";
import { Fleet, MOST } from "./fleet.js";
import { List } from "./list.js";
import * as server from "./server.js";
import { Strip } from "./strip.js";
import { clockTime, count, duration, line, plural } from "./text.js";

const LOOK_MS = 2000;
const SOON_MS = 60;
const FILTERS = {
  all: "All", attention: "Needs attention", running: "Running", waiting: "Waiting",
  completed: "Completed", failed: "Failed", killed: "Killed",
};

let filter = "all";
let frame = 0;
let isLoaded = false;
let tryAgain = () => {};
let lost = null;
let isRefused = false;
let lastFilters = "";

const dialogs = new Dialogs(server);
const fleet = new Fleet({
  get: server.get,
  changed: () => (frame ||= requestAnimationFrame(render)),
  concerned: ({ agent, concern }) => isLoaded && say(`${line(agent.taskId, 80)}: ${concern.why}`),
});
const list = new List(byId("list"), fleet, (id) => go(id, "output"));
const detail = new Detail(byId("detail"), { server, fleet, dialogs, go });
const strip = new Strip(byId("strip"), server, dialogs);

// ── shown ──────────────────────────────────────────────────────────────────────────────────────

function render() {
  frame = 0;
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const { groups, counts } = fleet.arranged(filter, words);
  list.show(groups, detail.id, emptyText(counts, words));
  set(byId("list"), "aria-busy", isLoaded ? "false" : "true");
  detail.refresh();
  renderFilters(counts);
  renderHalt();
  set(byId("capped"), "hidden", fleet.isComplete);
  write(byId("capped"), `The list shows the newest ${plural(MOST, "agent")}; orch ls lists all agents.`);
  const active = fleet.activeCount;
  write(byId("kill-all"), active ? `Kill all ${count(active)}…` : "Kill all…");
  set(byId("kill-all"), "disabled", active === 0);
  document.title = counts.attention ? `(${counts.attention}) Agents` : "Agents";
}

function emptyText(counts, words) {
  if (!isLoaded) return lost ? "No agents to show yet." : "Reading the agents…";
  if (!counts.all) return "No agents yet. Spawn one: orch spawn --repo R --branch B --item \"…\"";
  if (words.length) return "No agent matches this search.";
  return filter === "attention" ? "No agent needs attention." : "No agent is in this state.";
}

function renderFilters(counts) {
  const key = JSON.stringify([filter, counts]);
  if (key === lastFilters) return;
  lastFilters = key;
  const bar = byId("filters");
  if (!bar.childElementCount) {
    bar.append(...Object.entries(FILTERS).map(([name, title]) =>
      h("button", { type: "button", "data-filter": name, onclick: () => turnFilter(name) }, title, " ", h("span", { class: "size" }))));
  }
  for (const button of bar.children) {
    const name = button.dataset.filter;
    set(button, "aria-pressed", name === filter ? "true" : "false");
    set(button, "data-some", name === "attention" && counts.attention ? "yes" : null);
    write(button.lastChild, count(counts[name]));
  }
}

function turnFilter(name) {
  filter = name === filter ? "all" : name;
  render();
}

function renderHalt() {
  const { halt } = fleet;
  const banner = byId("halt");
  const key = halt ? JSON.stringify(halt) : "";
  if (banner.dataset.key === key || (!halt && banner.hidden)) return;
  banner.dataset.key = key;
  set(banner, "hidden", !halt);
  if (!halt) return say("The halt is lifted.");
  banner.replaceChildren(h("p", {}, h("strong", {}, "Halted"),
    ` by ${line(halt.by, 80)} at ${clockTime(halt.at)}${halt.why ? `: ${line(halt.why, 300)}` : ""}. Nothing new is admitted or started. `,
    h("code", {}, "orch resume --reason …"), " lifts it."));
  say("The system is halted.");
}

function connection(state, detailOf) {
  const mark = byId("connection");
  isRefused = state === "refused";
  set(mark, "data-state", state);
  set(byId("lost"), "hidden", state === "live" || state === "connecting");
  if (state === "live") {
    write(byId("connection-text"), "Live");
    if (lost) say("Connected again.");
    lost = null;
  } else if (state === "lost") {
    write(byId("connection-text"), "Connection lost");
    if (!lost) say("Connection lost, trying again.");
    lost = { since: lost?.since ?? Date.now(), until: Date.now() + detailOf };
    renderLost();
  } else if (state === "refused") {
    write(byId("connection-text"), "Refused");
    write(byId("lost-text"), detailOf.message);
    set(byId("try-now"), "hidden", false);
    if (detailOf.status === 401) askForKey(detailOf.message);
  }
}

function renderLost() {
  const left = Math.ceil((lost.until - Date.now()) / 1000);
  write(byId("lost-text"), `Connection lost, trying again${left > 0 ? ` in ${left} s` : ""}. What you see is of ${clockTime(lost.since)}, ${duration(Date.now() - lost.since)} ago.`);
}

function askForKey(why) {
  dialogs.key(why, server.keepKey, () => tryAgain());
}

// ── read ───────────────────────────────────────────────────────────────────────────────────────

/** Follow all events; read all agents once at the start and after a `reset`. */
function begin() {
  server.follow("/agents/events", {
    signal: new AbortController().signal,
    state: (state, detailOf) => {
      connection(state, detailOf);
      if (state === "live") reload();
    },
    heard: (event, data) => {
      if (event === "reset") reload({ anew: true });
      else {
        fleet.hear(data);
        lookSoon();
      }
      return true;
    },
    again: () => new Promise((resolve) => (tryAgain = resolve)),
  });
}

let loading = null;

// After a cut the stream resumes without a gap: all agents are read only the first time.
async function reload({ anew = false } = {}) {
  if (loading || (isLoaded && !anew)) return lookSoon();
  loading = fleet.load();
  try {
    await loading;
    isLoaded = true;
  } catch (error) {
    // The stream of events reports a refused key; it is live again with another key.
    if (![401, 403].includes(error.status)) setTimeout(() => reload({ anew }), 1000);
  }
  loading = null;
  render();
  look();
  refreshStrip();
  return undefined;
}

const ids = () => [detail.id, ...list.inSight].filter(Boolean);
let looking = false;
let soon = 0;

function lookSoon() {
  soon ||= setTimeout(look, SOON_MS);
}

async function look() {
  clearTimeout(soon);
  soon = 0;
  if (looking || lost || isRefused || document.hidden) return;
  looking = true;
  try {
    await fleet.look(ids());
    if (fleet.hasNews) lookSoon();
  } catch {
    // The stream of events reports that the server is unreachable.
  } finally {
    looking = false;
  }
}

async function refreshStrip() {
  if (lost || isRefused || document.hidden) return;
  try {
    Object.assign(fleet, await strip.refresh());
  } catch {
    // As above.
  }
}

// ── moved about ────────────────────────────────────────────────────────────────────────────────

function go(id, tab = "output") {
  const hash = id === null ? "#/" : `#/agents/${encodeURIComponent(id)}/${tab}`;
  if (location.hash !== hash) location.hash = hash;
  route();
}

function route() {
  const found = location.hash.match(/^#\/agents\/([A-Za-z0-9][A-Za-z0-9_-]{0,127})(?:\/([a-z]+))?$/);
  const before = detail.id;
  const id = found?.[1] ?? null;
  set(byId("main"), "data-open", id ? "yes" : null);
  if (id === before && id === null) return;
  detail.show(id, found?.[2] ?? "output", { withFocus: id !== before });
  render();
  if (id === null) list.focus(before);
  else lookSoon();
}

addEventListener("hashchange", route);
addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const isTyping = event.target.matches?.("input, textarea, select");
  if (event.key === "Escape") {
    if (isTyping && event.target.value) {
      event.target.value = "";
      render();
    } else if (detail.id) go(null);
    else if (isTyping) list.focus();
    else return;
  } else if (isTyping) return;
  else if (event.key === "/") byId("search").focus();
  else if (["j", "k"].includes(event.key) && !byId("list").contains(event.target)) list.focus();
  else return;
  event.preventDefault();
});
byId("search").addEventListener("input", render);
byId("try-now").addEventListener("click", () => tryAgain());
byId("kill-all").addEventListener("click", () =>
  dialogs.killAll(() => fleet.activeCount, (report) => {
    say(line(report.message));
    lookSoon();
  }));
document.addEventListener("visibilitychange", () => {
  look();
  refreshStrip();
});
setInterval(() => {
  const now = Date.now();
  list.tick(now);
  detail.tick(now);
  if (lost) renderLost();
}, 1000);
setInterval(look, LOOK_MS);
setInterval(refreshStrip, LOOK_MS + 1000);

render();
route();
begin();
