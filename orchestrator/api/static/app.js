// The page: the displayed state of the fleet, its refresh, and navigation.

import { addressOf, readAddress } from "./address.js";
import { Bulk } from "./bulk.js";
import { byId, h, say, set, write } from "./dom.js";
import { Detail } from "./detail.js";
import { Dialogs } from "./dialogs.js";
import { FILTERS, Fleet, MOST, SORTS } from "./fleet.js";
import { Halt } from "./halt.js";
import { List } from "./list.js";
import { isLogin, Login } from "./login.js";
import { Notifier } from "./notify.js";
import * as server from "./server.js";
import { askSpawn } from "./spawn.js";
import { Strip } from "./strip.js";
import { clockTime, count, duration, line, plural } from "./text.js";
import { Trends } from "./trends.js";

const LOOK_MS = 2000;
const TRENDS_MS = 15_000;
const SOON_MS = 60;
const KEYS = {
  "/": "Search", "j k": "Next or previous agent", Enter: "Open the agent", x: "Select or deselect the agent",
  "Shift+x": "Select from the last selected agent to this one", a: "Select all that are listed, or none",
  "← →": "Switch the tab of the panel", "e w": "In the output: jump to the next error; wrap lines or not", Escape: "Clear the search, close the panel, or clear the selection",
  n: "Spawn an agent", "?": "Show these keys",
};

let filter = "all";
let sort = "attention";
let selected = new Set();
let lastPicked = null;
let frame = 0;
let isLoaded = false;
let tryAgain = () => {};
let lost = null;
let isRefused = false;
let lastFilters = "";

const dialogs = new Dialogs(server);
const login = new Login(server, dialogs);
const fleet = new Fleet({
  get: server.get,
  changed: () => (frame ||= requestAnimationFrame(render)),
  concerned: ({ agent, concern }) => {
    if (!isLoaded) return;
    say(`${line(agent.taskId, 80)}: ${concern.why}`);
    notifier.notify(agent, concern);
  },
});
const list = new List(byId("list"), fleet, (id) => go(id, "output"), {
  get selected() {
    return selected;
  },
  toggle: (id, isRange) => pick(id, isRange),
  all: (isOn) => select(isOn ? list.entries.map((entry) => entry.id) : []),
});
const detail = new Detail(byId("detail"), { server, fleet, dialogs, go });
const bulk = new Bulk(byId("bulk"), {
  server, dialogs, select,
  done: (ids) => {
    fleet.recheck(ids);
    lookSoon();
  },
});
const halt = new Halt(byId("halt"), byId("switch-halt"), {
  post: server.post, done: () => lookSoon(),
});
const notifier = new Notifier(byId("notify"), byId("notify-lack"), (id) => go(id, "output"));
const strip = new Strip(byId("strip"), server, dialogs);
const trends = new Trends(byId("trends"), server);

// ── shown ──────────────────────────────────────────────────────────────────────────────────────

function render() {
  frame = 0;
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const { groups, counts } = fleet.arranged(filter, words, sort);
  list.show(groups, detail.id, emptyText(counts, words));
  set(byId("list"), "aria-busy", isLoaded ? "false" : "true");
  detail.refresh();
  const picked = [...selected].map((id) => fleet.get(id)).filter(Boolean);
  bulk.show(picked, list.entries, filter !== "all" || words.length > 0);
  const atLeast = fleet.isComplete ? "" : "at least ";
  renderFilters(counts, atLeast);
  halt.show(fleet.halt, Object.keys(fleet.counts).length > 0);
  set(byId("capped"), "hidden", fleet.isComplete);
  write(byId("capped"), `The list shows and counts the newest ${plural(MOST, "agent")}; there may be more that need attention. orch ls lists all agents.`);
  const active = fleet.activeCount;
  write(byId("kill-all"), active ? `Kill all ${count(active)}…` : "Kill all…");
  set(byId("kill-all"), "disabled", active === 0);
  document.title = counts.attention ? `(${atLeast}${counts.attention}) Agents` : "Agents";
}

function emptyText(counts, words) {
  if (!isLoaded) return lost ? "No agents to show yet." : "Reading the agents…";
  if (!counts.all) return "No agents yet. Spawn one here, or with orch spawn --repo R --branch B --item \"…\"";
  if (words.length) return "No agent matches this search.";
  return filter === "attention" ? "No agent needs attention." : "No agent is in this state.";
}

function renderFilters(counts, atLeast) {
  const key = JSON.stringify([filter, counts, atLeast]);
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
    write(button.lastChild, `${name === "attention" ? atLeast : ""}${count(counts[name])}`);
  }
}

function turnFilter(name) {
  filter = name === filter ? "all" : name;
  lastPicked = null;
  keepAddress();
  render();
}

function select(ids) {
  selected = new Set(ids);
  lastPicked = null;
  keepAddress();
  render();
}

/** Select or deselect an agent; with `isRange`, all from the last picked one to it. */
function pick(id, isRange) {
  const ids = list.entries.map((entry) => entry.id);
  const [from, to] = [ids.indexOf(lastPicked), ids.indexOf(id)].sort((a, b) => a - b);
  if (isRange && lastPicked !== null && from >= 0) for (const one of ids.slice(from, to + 1)) selected.add(one);
  else if (!selected.delete(id)) selected.add(id);
  lastPicked = id;
  keepAddress();
  render();
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
    login.live();
  } else if (state === "lost") {
    write(byId("connection-text"), "Connection lost");
    if (!lost) say("Connection lost, trying again.");
    lost = { since: lost?.since ?? Date.now(), until: Date.now() + detailOf };
    renderLost();
  } else if (state === "refused") {
    write(byId("connection-text"), "Refused");
    write(byId("lost-text"), detailOf.message);
    set(byId("try-now"), "hidden", false);
    if (detailOf.status === 401) login.askForKey(detailOf.message, () => tryAgain());
  }
}

function renderLost() {
  const left = Math.ceil((lost.until - Date.now()) / 1000);
  write(byId("lost-text"), `Connection lost, trying again${left > 0 ? ` in ${left} s` : ""}. What you see is of ${clockTime(lost.since)}, ${duration(Date.now() - lost.since)} ago.`);
}

// ── read ───────────────────────────────────────────────────────────────────────────────────────

/** Follow all events; read all agents once at the start and after a `reset`. */
function begin() {
  server.follow("/agents/events", {
    signal: new AbortController().signal, prepare: () => login.exchange(),
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
  loading = fleet.load({ isNews: isLoaded });
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
  refreshTrends();
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
  if (looking || lost || isRefused || (document.hidden && !notifier.isOn)) return;
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

async function refreshTrends() {
  // The stream of events reports that the server is unreachable.
  if (!lost && !isRefused && !document.hidden) await trends.refresh().catch(() => {});
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

const view = (id, tab) => ({ id, tab, show: filter, search: byId("search").value, sort, selected });

function go(id, tab = "output") {
  const hash = addressOf(view(id, tab));
  if (location.hash !== hash) location.hash = hash;
  route();
}

/** Write filter, search, order and selection to the address; *Back* leaves the page, not a letter. */
function keepAddress() {
  const { id, tab } = readAddress(location.hash);
  const hash = addressOf(view(id, tab));
  if ((location.hash || "#/") !== hash) history.replaceState(null, "", hash);
}

function route() {
  const asked = readAddress(location.hash);
  const before = detail.id;
  const { id } = asked;
  [filter, sort, selected] = [asked.show, asked.sort, new Set(asked.selected)];
  if (byId("search").value !== asked.search) byId("search").value = asked.search;
  byId("sort").value = sort;
  set(byId("main"), "data-open", id ? "yes" : null);
  if (id === before && id === null) return render();
  detail.show(id, asked.tab, { withFocus: id !== before });
  render();
  if (id === null) list.focus(before);
  else lookSoon();
  return undefined;
}

// A login address that is opened in this tab: the page begins anew with its code.
addEventListener("hashchange", () => (isLogin(location.hash) ? location.reload() : route()));
addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const isTyping = event.target.matches?.("input:not([type=checkbox]), textarea, select");
  if (event.key === "Escape") {
    if (isTyping && event.target.value) {
      event.target.value = "";
      searched();
    } else if (detail.id) go(null);
    else if (isTyping) list.focus();
    else if (selected.size) select([]);
    else return;
  } else if (isTyping) return;
  else if (event.key === "/") byId("search").focus();
  else if (event.key === "?") dialogs.keys(KEYS);
  else if (event.key === "n") spawn();
  else if (event.key === "a") select(selected.size ? [] : list.entries.map((entry) => entry.id));
  else if (["j", "k"].includes(event.key) && !byId("list").contains(event.target)) list.focus();
  else if (!detail.press(event.key)) return;
  event.preventDefault();
});

function spawn() {
  const newest = [...fleet.entries.values()].sort((a, b) => (a.agent.spawnedAt < b.agent.spawnedAt ? 1 : -1));
  askSpawn(server.post, newest.map(({ agent }) => agent.repository).filter(Boolean), (id) => go(id, "output"));
}

function searched() {
  lastPicked = null;
  keepAddress();
  render();
}

byId("search").addEventListener("input", searched);
byId("sort").append(...Object.entries(SORTS).map(([name, { title }]) => h("option", { value: name }, title)));
byId("sort").addEventListener("change", () => {
  sort = byId("sort").value;
  keepAddress();
  render();
});
byId("show-keys").addEventListener("click", () => dialogs.keys(KEYS));
byId("spawn").addEventListener("click", spawn);
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
setInterval(refreshTrends, TRENDS_MS);

render();
route();
begin();
