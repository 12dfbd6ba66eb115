// One agent beside the list: its state, its attention, and its tabs.

import { askedOf } from "./asked.js";
import { isActive, stateIcon, stateLabel } from "./concern.js";
import { h, icon, meter, set, turnIcon, withCommands, write } from "./dom.js";
import { TABS } from "./tabs.js";
import { duration, line, money, repositoryName, short } from "./text.js";
import { drawWork, workOutside } from "./work.js";

export class Detail {
  #panel;
  #server;
  #fleet;
  #dialogs;
  #go;
  #open = null;

  constructor(panel, { server, fleet, dialogs, go }) {
    this.#panel = panel;
    this.#server = server;
    this.#fleet = fleet;
    this.#dialogs = dialogs;
    this.#go = go;
  }

  get id() {
    return this.#open?.id ?? null;
  }

  /** Open an agent's tab, or close the panel with no id. */
  show(id, tab, { withFocus = false } = {}) {
    if (id === null) {
      this.#open?.tab?.close?.();
      this.#open = null;
      set(this.#panel, "hidden", true);
      this.#panel.replaceChildren();
      return;
    }
    if (this.#open?.id !== id) {
      this.#open?.tab?.close?.();
      this.#build(id);
    }
    this.#turn(tab in TABS ? tab : "output");
    this.refresh();
    if (withFocus) this.#open.title.focus({ preventScroll: true });
  }

  /** Show the current state of the agent. */
  refresh() {
    const open = this.#open;
    const entry = open && this.#fleet.get(open.id);
    if (!open) return;
    if (!entry) {
      write(open.title, "No such agent");
      write(open.state, "");
      return;
    }
    const { agent, concern } = entry;
    if (open.version === entry.version && open.concern === concern && open.limit === this.#fleet.agentLimit) return;
    open.version = entry.version;
    open.concern = concern;
    open.limit = this.#fleet.agentLimit;
    write(open.title, line(agent.taskId, 300));
    write(open.state, stateLabel(agent));
    set(open.badge, "data-kind", entry.standing);
    set(open.badge, "data-concern", concern ? "yes" : null);
    turnIcon(open.icon, stateIcon(agent, concern));
    write(open.facts, [agent.agentType, agent.model ? `${agent.agent}:${agent.model}` : agent.agent, agent.effort && `effort ${agent.effort}`, agent.gateProfile && `${agent.gateProfile} gates`,
      agent.priority && `priority ${agent.priority}`, agent.attempt > 1 && `attempt ${agent.attempt}`].filter(Boolean).map((fact) => line(fact, 80)).join(" · "));
    const target = agent.branch ? ` → ${line(agent.branch, 200)}${agent.commit ? ` ${line(agent.commit).slice(0, 10)}` : ""}` : "";
    write(open.where, agent.repository ? `${repositoryName(agent.repository)} @ ${line(agent.baseBranch, 200)}${target}` : "");
    set(open.kill, "hidden", !isActive(agent));
    set(open.retry, "hidden", isActive(agent) || agent.status === "completed");
    if (entry.standing === "waiting" && !concern) this.#readWhy(open);
    else open.waits = null;
    this.#need(open, agent, concern);
    this.#links(open, agent);
    this.#work(open, agent);
    this.#spent(open, agent);
    this.tick(Date.now());
    open.tab?.refresh?.(agent);
  }

  /** Let the open tab take a key; answers whether it did. */
  press(key) {
    return this.#open?.tab?.press?.(key) ?? false;
  }

  tick(now) {
    const open = this.#open;
    const entry = open && this.#fleet.get(open.id);
    if (!entry) return;
    const { agent, lastOutput } = entry;
    const end = agent.completedAt ? Date.parse(agent.completedAt) : now;
    write(open.age, duration(end - Date.parse(agent.spawnedAt)));
    write(open.last, agent.completedAt ? `ended ${duration(now - end)} ago`
      : lastOutput ? `last output ${duration(now - Date.parse(lastOutput.at))} ago` : "no output yet");
  }

  #build(id) {
    const open = {
      id, icon: icon("waiting"), state: h("span"), title: h("h2", { tabindex: -1 }),
      facts: h("p", { class: "dim" }), where: h("p", { class: "mono dim" }), need: h("div", { class: "need", hidden: true }), work: h("div"), links: h("p", { hidden: true }),
      age: h("dd"), last: h("dd"), tokens: h("dd"), cost: h("dd"), body: h("div", { class: "body", role: "tabpanel", id: "panel" }),
    };
    const entry = () => this.#fleet.get(id)?.agent;
    open.badge = h("p", { class: "badge" }, open.icon, open.state);
    open.kill = h("button", { type: "button", class: "danger", onclick: () => this.#dialogs.kill(entry()) }, "Kill…");
    open.retry = h("button", { type: "button", onclick: () => this.#dialogs.retry(entry(), (made) => this.#go(made, "output")) }, "Retry…");
    const close = h("button", { type: "button", class: "plain", "aria-label": "Close", onclick: () => this.#go(null) }, icon("close"));
    open.tabs = h("div", { role: "tablist", "aria-label": "Agent details", onkeydown: (event) => this.#key(event) },
      Object.entries(TABS).map(([name, { title }]) => h("button", {
        type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel", "data-tab": name,
        onclick: () => this.#go(id, name),
      }, title)));
    this.#open = open;
    this.#panel.replaceChildren(
      h("div", { class: "crown" },
        h("div", { class: "crown-line" }, open.badge, h("code", { class: "id" }, line(id, 128)), h("span", { class: "grow" }), open.kill, open.retry, close),
        open.title, open.facts, open.where, open.links, open.need, askedOf(id, this.#server), open.work,
        h("dl", { class: "figures" },
          h("div", {}, h("dt", {}, "Age"), open.age), h("div", {}, h("dt", {}, "Tokens"), open.tokens),
          h("div", {}, h("dt", {}, "Cost"), open.cost), h("div", {}, h("dt", {}, "Output"), open.last)),
        open.tabs),
      open.body);
    set(this.#panel, "hidden", false);
  }

  #turn(name) {
    const open = this.#open;
    if (open.name === name) return;
    open.tab?.close?.();
    open.name = name;
    for (const tab of open.tabs.children) {
      const isOn = tab.dataset.tab === name;
      set(tab, "aria-selected", isOn ? "true" : "false");
      set(tab, "tabindex", isOn ? 0 : -1);
    }
    set(open.body, "aria-labelledby", `tab-${name}`);
    open.body.replaceChildren();
    open.tab = TABS[name].open(open.body, open.id, this.#server, () => this.#fleet.get(open.id)?.agent);
    open.version = null;
  }

  #key(event) {
    const names = Object.keys(TABS);
    const at = names.indexOf(this.#open.name);
    const steps = { ArrowRight: at + 1, ArrowLeft: at - 1 + names.length, Home: 0, End: names.length - 1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const name = names[steps[event.key] % names.length];
    this.#go(this.#open.id, name);
    this.#open.tabs.querySelector(`[data-tab=${name}]`).focus();
  }

  /** Read what a waiting agent waits for, and its place in line. */
  async #readWhy(open) {
    if (open.isReadingWhy) return;
    open.isReadingWhy = true;
    try {
      open.waits = await this.#server.get(`/agents/${encodeURIComponent(open.id)}/why`);
    } catch {
      // The stream of events reports that the server is unreachable.
    } finally {
      open.isReadingWhy = false;
    }
    const entry = this.#fleet.get(open.id);
    if (entry?.standing === "waiting" && this.#open === open) this.#need(open, entry.agent, entry.concern);
  }

  #need(open, agent, concern) {
    const error = agent.error ? line(agent.error, 600) : "";
    const why = concern?.why ?? (open.waits ? line(open.waits.why, 600) : error);
    const key = JSON.stringify([why, error, concern?.command]);
    if (open.needKey === key) return;
    open.needKey = key;
    set(open.need, "hidden", !why);
    set(open.need, "data-concern", concern ? "yes" : null);
    open.need.replaceChildren(h("p", {}, withCommands(why)));
    // The reason is its first sentence; for some reasons the next step follows it.
    if (concern && error) open.need.append(h("p", { class: "dim" }, withCommands(error)));
    if (concern?.command) open.need.append(command(concern.command));
  }

  /** The pull request, and the files in conflict with the target branch. */
  #links(open, agent) {
    const url = /^https?:\/\//.test(agent.requestUrl ?? "") ? agent.requestUrl : "";
    const files = (agent.conflicts ?? []).map(({ path }) => line(path, 200));
    const key = JSON.stringify([url, files]);
    if (open.linksKey === key) return;
    open.linksKey = key;
    set(open.links, "hidden", !url && !files.length);
    open.links.replaceChildren(...[
      url && h("a", { href: url, rel: "noreferrer", target: "_blank" }, line(url, 200)),
      files.length && h("span", { class: "dim" }, `${url ? " · " : ""}in conflict with ${line(agent.baseBranch, 100)}: ${files.slice(0, 20).join(", ")}`),
    ].filter(Boolean));
  }

  #work(open, agent) {
    const work = workOutside(agent);
    const key = JSON.stringify(work);
    if (open.workKey === key) return;
    open.workKey = key;
    open.work.replaceChildren(...(work ? [drawWork(work, command)] : []));
  }

  #spent(open, agent) {
    const total = agent.usage?.totalTokens ?? 0;
    const limit = this.#fleet.agentLimit;
    open.tokens.replaceChildren(`${short(total)}${limit ? ` of ${short(limit)}` : ""}`);
    if (limit) open.tokens.append(meter("Tokens of this agent's limit", `${short(total)} of ${short(limit)}`, [(total / limit) * 100]));
    write(open.cost, money(agent.usage?.costUsd) || "–");
  }
}

function command(text) {
  const button = h("button", { type: "button", class: "small" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard?.writeText(text);
    write(button, "Copied");
    setTimeout(() => write(button, "Copy"), 1500);
  });
  return h("p", { class: "command" }, h("code", {}, text), button);
}
