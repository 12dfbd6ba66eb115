// The list of agents: a grid that contains only the visible rows.

import { stateIcon, stateLabel } from "./concern.js";
import { h, icon, meter, set, turnIcon, withCommands, write } from "./dom.js";
import { GROUPS } from "./fleet.js";
import { duration, line, money, plain, repositoryName, short, shortId } from "./text.js";

/** Whether a gate status allows the delivery. */
const isPass = (status) => ["passed", "not_applicable", "red_before"].includes(status);
const ROW = 46;
const HEAD = 34;
const OVERSCAN = 6;
const TITLES = { attention: "Needs attention", running: "Running", waiting: "Waiting", ended: "Ended", sorted: "Sorted" };
const COLUMNS = ["State", "Agent", "Last output or reason", "Gates", "Tokens", "Cost", "Age"];

export class List {
  #rows = new Map();
  #items = [];
  #active = null;
  #scroller;
  #body;
  #empty;
  #open;
  #fleet;
  #anchor = null;
  #selection;
  #all;

  /** `selection` has the selected ids, `toggle(id, isRange)` and `all(isOn)`. */
  constructor(parent, fleet, open, selection) {
    this.#fleet = fleet;
    this.#open = open;
    this.#selection = selection;
    this.#all = h("input", { type: "checkbox", "aria-label": "Select all that are listed", tabindex: -1, onchange: () => selection.all(this.#all.checked) });
    this.#body = h("div", { role: "rowgroup", class: "rows" });
    this.#empty = h("div", { class: "empty", hidden: true });
    this.#scroller = h("div", {
      role: "grid", class: "grid", "aria-label": "Agents", "aria-colcount": COLUMNS.length + 1, tabindex: 0,
      onscroll: () => this.#scrolled(), onkeydown: (event) => this.#key(event),
    },
      h("div", { role: "rowgroup", class: "heads" },
        h("div", { role: "row", class: "row", "aria-rowindex": 1 },
          h("div", { role: "columnheader", class: "pick" }, this.#all),
          COLUMNS.map((name, index) => h("div", { role: "columnheader", class: `c${index}` }, name)))),
      this.#body);
    parent.append(this.#scroller, this.#empty);
    new ResizeObserver(() => this.#draw()).observe(this.#scroller);
  }

  /** The entries that are listed, in their order. */
  get entries() {
    return this.#items.filter((item) => item.entry).map((item) => item.entry);
  }

  /** The ids of the visible agents that are active or need attention: others may act on them. */
  get inSight() {
    return [...this.#rows.values()].filter((row) => row.entry && (!row.entry.agent.completedAt || row.entry.concern)).map((row) => row.entry.id);
  }

  focus(id = this.#active) {
    const at = this.#items.findIndex((item) => item.entry && item.key === id);
    this.#activate(at >= 0 ? at : this.#items.findIndex((item) => item.entry), true);
  }

  /** Show these groups; `opened` is the agent with an open detail, `emptyText` is for an empty list. */
  show(groups, opened, emptyText) {
    this.#items = [];
    let y = 0;
    for (const name of GROUPS) {
      const entries = groups[name];
      if (!entries.length) continue;
      this.#items.push({ key: `#${name}`, y, height: HEAD, name, size: entries.length });
      y += HEAD;
      for (const entry of entries) {
        this.#items.push({ key: entry.id, y, height: ROW, entry });
        y += ROW;
      }
    }
    this.opened = opened;
    const { selected } = this.#selection;
    const count = this.entries.filter((entry) => selected.has(entry.id)).length;
    this.#all.checked = count > 0 && count === this.entries.length;
    this.#all.indeterminate = count > 0 && count < this.entries.length;
    write(this.#empty, this.#items.length ? "" : emptyText);
    set(this.#empty, "hidden", this.#items.length > 0);
    set(this.#scroller, "aria-rowcount", this.#items.length + 1);
    this.#body.style.height = `${y}px`;
    this.#keepPlace();
    this.#draw();
  }

  /** Update the ages. */
  tick(now) {
    for (const row of this.#rows.values()) if (row.entry) row.age(now);
  }

  // New rows above must not move the rows that the user reads.
  #keepPlace() {
    if (!this.#anchor || this.#scroller.scrollTop === 0) return;
    const item = this.#items.find((one) => one.key === this.#anchor.key);
    if (!item) return;
    const top = Math.max(0, item.y + this.#anchor.into);
    if (Math.abs(top - this.#scroller.scrollTop) > 1) this.#scroller.scrollTop = top;
  }

  #scrolled() {
    this.#note();
    this.#draw();
  }

  #note() {
    const top = this.#scroller.scrollTop;
    const first = this.#items[this.#at(top)];
    this.#anchor = first ? { key: first.key, into: top - first.y } : null;
  }

  #at(y) {
    let [low, high] = [0, this.#items.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#items[middle].y <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #draw() {
    const top = this.#scroller.scrollTop;
    const first = Math.max(0, this.#at(top) - OVERSCAN);
    const last = Math.min(this.#items.length, this.#at(top + this.#scroller.clientHeight) + 1 + OVERSCAN);
    const wanted = this.#items.slice(first, last);
    const keys = new Set(wanted.map((item) => item.key));
    const hadFocus = this.#body.contains(document.activeElement);
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      row.element.remove();
      this.#rows.delete(key);
    }
    const now = Date.now();
    let before = this.#body.firstChild;
    for (const [index, item] of wanted.entries()) {
      let row = this.#rows.get(item.key);
      if (!row) {
        row = item.entry ? new AgentRow(this.#fleet, (id) => this.#clicked(id), this.#selection) : new GroupRow();
        this.#rows.set(item.key, row);
      }
      if (row.element !== before) this.#body.insertBefore(row.element, before);
      else before = before.nextSibling;
      if (row.y !== item.y) {
        row.y = item.y;
        row.element.style.transform = `translateY(${item.y}px)`;
      }
      set(row.element, "aria-rowindex", first + index + 2);
      row.show(item, now);
      if (item.entry) {
        set(row.element, "tabindex", item.key === this.#active ? 0 : -1);
        set(row.element, "aria-selected", item.key === this.opened ? "true" : "false");
        row.pick(this.#selection.selected.has(item.key));
      }
    }
    // If the row with the tab stop is not visible, the grid has the tab stop.
    set(this.#scroller, "tabindex", this.#rows.has(this.#active) ? -1 : 0);
    if (hadFocus && !this.#body.contains(document.activeElement)) this.#scroller.focus({ preventScroll: true });
    if (!this.#anchor) this.#note();
  }

  #clicked(id) {
    this.#active = id;
    this.#draw();
    this.#open(id);
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const steps = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 10, PageUp: -10 };
    if (event.key === "Enter") {
      if (this.#fleet.get(this.#active)) this.#open(this.#active);
    } else if (event.key === "x") {
      if (this.#fleet.get(this.#active)) this.#selection.toggle(this.#active, false);
    } else if (event.key === "X") {
      if (this.#fleet.get(this.#active)) this.#selection.toggle(this.#active, true);
    } else if (event.key in steps) this.#step(steps[event.key]);
    else if (event.key === "Home") this.#step(-Infinity);
    else if (event.key === "End") this.#step(Infinity);
    else return;
    event.preventDefault();
  }

  #step(by) {
    const agents = this.#items.map((item, at) => [item, at]).filter(([item]) => item.entry);
    if (!agents.length) return;
    const now = agents.findIndex(([item]) => item.key === this.#active);
    const next = now < 0 ? 0 : Math.min(agents.length - 1, Math.max(0, now + by));
    this.#activate(agents[next][1], true);
  }

  #activate(at, withFocus) {
    const item = this.#items[at];
    if (!item) {
      this.#scroller.focus();
      return;
    }
    this.#active = item.key;
    const { scrollTop, clientHeight } = this.#scroller;
    const heads = this.#scroller.firstChild.offsetHeight;
    if (item.y < scrollTop + HEAD) this.#scroller.scrollTop = Math.max(0, item.y - HEAD);
    else if (item.y + ROW + heads > scrollTop + clientHeight) {
      this.#scroller.scrollTop = item.y + ROW + heads - clientHeight;
    }
    this.#note();
    this.#draw();
    if (withFocus) this.#rows.get(item.key)?.element.focus({ preventScroll: true });
  }
}

class GroupRow {
  constructor() {
    this.name = h("span");
    this.size = h("span", { class: "size" });
    this.element = h("div", { role: "row", class: "group" },
      h("div", { role: "rowheader", "aria-colspan": COLUMNS.length + 1 }, this.name, " ", this.size));
  }

  show({ name, size }) {
    set(this.element, "data-group", name);
    write(this.name, TITLES[name]);
    write(this.size, String(size));
  }
}

class AgentRow {
  #version = -1;

  constructor(fleet, clicked, selection) {
    this.fleet = fleet;
    this.box = h("input", { type: "checkbox", tabindex: -1 });
    const cell = (index, ...children) => h("div", { role: "gridcell", class: `c${index}` }, ...children);
    this.icon = icon("waiting");
    this.state = h("span", { class: "state" });
    this.task = h("span", { class: "task" });
    this.where = h("span", { class: "dim" });
    this.text = h("span", { class: "text" });
    this.when = h("span", { class: "when" });
    this.gates = cell(3);
    this.tokens = cell(4);
    this.cost = cell(5);
    this.old = cell(6);
    this.element = h("div", { role: "row", class: "row agent", onclick: () => clicked(this.entry.id) },
      h("div", { role: "gridcell", class: "pick", onclick: (event) => this.#picked(event, selection) }, this.box),
      cell(0, this.icon, this.state),
      cell(1, this.task, this.where),
      cell(2, this.text, this.when),
      this.gates, this.tokens, this.cost, this.old);
  }

  // The whole cell selects: on a phone the box alone is too small.
  #picked(event, selection) {
    event.stopPropagation();
    selection.toggle(this.entry.id, event.shiftKey);
  }

  pick(isOn) {
    this.box.checked = isOn;
    set(this.element, "data-picked", isOn ? "yes" : null);
  }

  show({ entry }, now) {
    this.entry = entry;
    const { agentLimit } = this.fleet;
    if (this.#version === entry.version && this.concern === entry.concern && this.limit === agentLimit) return;
    this.#version = entry.version;
    this.limit = agentLimit;
    this.concern = entry.concern;
    const { agent, concern } = entry;
    set(this.element, "data-kind", entry.standing);
    set(this.element, "data-concern", concern ? "yes" : null);
    set(this.element, "data-id", agent.agentId);
    turnIcon(this.icon, stateIcon(agent, concern));
    write(this.state, stateLabel(agent));
    write(this.task, line(agent.taskId, 200));
    set(this.box, "aria-label", `Select ${line(agent.taskId, 80)}`);
    write(this.where, [shortId(agent.agentId), agent.agentType, agent.repository && `${repositoryName(agent.repository)} @ ${line(agent.baseBranch, 80)}`].filter(Boolean).join(" · "));
    this.#tell(agent, concern, entry.lastOutput);
    this.#judged(agent.verdict);
    this.#spent(agent, agentLimit);
    write(this.cost, money(agent.usage?.costUsd));
    this.age(now);
  }

  age(now) {
    const { agent, lastOutput, concern } = this.entry;
    const end = agent.completedAt ? Date.parse(agent.completedAt) : now;
    write(this.old, duration(end - Date.parse(agent.spawnedAt)));
    const since = agent.completedAt ?? (concern ? null : lastOutput?.at);
    write(this.when, since ? `${duration(now - Date.parse(since))} ago` : "");
  }

  #tell(agent, concern, lastOutput) {
    const said = concern?.why ?? agent.error ?? (agent.completedAt ? agent.summary : lastOutput?.text) ?? "";
    set(this.text, "class", concern ? "text why" : lastOutput && !agent.completedAt ? "text said" : "text");
    const shown = line(said, 300);
    if (this.shown === shown) return;
    this.shown = shown;
    this.text.replaceChildren(...withCommands(shown));
  }

  #judged(verdict) {
    const gates = Object.entries(verdict?.gates ?? {});
    const passed = gates.filter(([, status]) => isPass(status)).length;
    const text = verdict?.yolo ? "not checked" : !verdict ? "" : verdict.approved ? `${passed} passed`
      : gates.filter(([, status]) => !isPass(status)).map(([name]) => plain(name, 40)).join(", ") || "rejected";
    const verdictClass = !verdict ? "" : verdict.yolo ? "yolo" : verdict.approved ? "good" : "bad";
    if (this.judged === verdictClass + text) return;
    this.judged = verdictClass + text;
    this.gates.replaceChildren();
    if (text) {
      this.gates.append(h("span", { class: `gate ${verdictClass}`, title: text },
        icon(verdictClass === "good" ? "completed" : verdictClass === "bad" ? "failed" : "warn"), text));
    }
  }

  #spent(agent, limit) {
    const total = agent.usage?.totalTokens ?? 0;
    const key = `${total}/${limit}`;
    if (this.spent === key) return;
    this.spent = key;
    this.tokens.replaceChildren();
    if (!total) return;
    this.tokens.append(h("span", {}, short(total)));
    if (limit) this.tokens.append(meter(`Tokens of ${short(limit)}`, `${short(total)} of ${short(limit)}`, [(total / limit) * 100]));
  }
}
