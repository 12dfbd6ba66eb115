// The bar of actions on several agents: those that are selected, or all that the list shows.

import { isActive } from "./concern.js";
import { h, set, write } from "./dom.js";
import { line, plural } from "./text.js";

// So many requests at once: a kill waits for its confirmation.
const AT_ONCE = 6;
const SHOWN_FAULTS = 5;

export class Bulk {
  #parent;
  #dialogs;
  #buttons = {};
  #said;
  #agents = [];

  /** `select` replaces the selection; `done` is called after an action. */
  constructor(parent, { server, dialogs, select, done }) {
    this.#parent = parent;
    this.#dialogs = dialogs;
    const ask = (path, body) => server.post(`/agents/${encodeURIComponent(path[0])}/${path[1]}`, body);
    const button = (name, attributes, text) =>
      (this.#buttons[name] = h("button", { type: "button", class: "small", ...attributes }, text));
    this.#said = h("span", { class: "grow", role: "status" });
    parent.append(
      this.#said,
      button("select", { onclick: () => select(this.#agents.map((agent) => agent.agentId)) }, "Select all"),
      button("retry", {
        onclick: () => this.#act("retry", {
          title: (count) => `Spawn ${plural(count, "agent")} again?`, label: "Retry",
          text: "A new agent runs each request. It continues from the retained change, if there is one.",
          ask: (agent, reason) => ask([agent.agentId, "retry"], { reason }), done,
        }),
      }, "Retry…"),
      button("acknowledge", {
        onclick: () => this.#act("acknowledge", {
          title: (count) => `Acknowledge ${plural(count, "agent")}?`, label: "Acknowledge",
          text: "They need attention no more, unless another reason comes up.",
          ask: (agent, reason) => ask([agent.agentId, "acknowledge"], { reason }), done,
        }),
      }, "Acknowledge…"),
      button("kill", {
        class: "small danger",
        onclick: () => this.#act("kill", {
          title: (count) => `Kill ${plural(count, "agent")}?`, label: "Kill", danger: true,
          text: "They stop at once. The change of each is retained.",
          ask: (agent, reason) => ask([agent.agentId, "kill"], { reason }), done,
        }),
      }, "Kill…"),
      button("clear", { onclick: () => select([]) }, "Clear selection"),
    );
  }

  /** Show what the actions concern: the selected entries, else those of a filter or search. */
  show(selected, shown, isFiltered) {
    const isSelected = selected.length > 0;
    const entries = isSelected ? selected : isFiltered ? shown : [];
    set(this.#parent, "hidden", !entries.length);
    if (!entries.length) return;
    this.#agents = entries.map((entry) => entry.agent);
    this.#able = {
      kill: entries.filter(({ agent }) => isActive(agent)),
      retry: entries.filter(({ agent }) => !isActive(agent) && agent.status !== "completed"),
      acknowledge: entries.filter(({ concern }) => concern),
    };
    write(this.#said, isSelected ? `${plural(entries.length, "agent")} selected` : `${plural(entries.length, "agent")} listed`);
    for (const [name, some] of Object.entries(this.#able)) {
      set(this.#buttons[name], "hidden", !some.length);
      write(this.#buttons[name], `${this.#buttons[name].textContent.split(/ \d|…/)[0]} ${some.length}…`);
    }
    set(this.#buttons.select, "hidden", isSelected);
    set(this.#buttons.clear, "hidden", !isSelected);
  }
  #able = { kill: [], retry: [], acknowledge: [] };

  #act(name, { title, label, text, ask, done, danger = false }) {
    // Those of this moment: the list goes on behind the dialog.
    const agents = this.#able[name].map((entry) => entry.agent);
    this.#dialogs.each({
      title: title(agents.length), text, label: `${label} ${plural(agents.length, "agent")}`, danger,
      names: agents.map((agent) => line(agent.taskId, 80)),
      run: (reason, progress) => runEach(agents, (agent) => ask(agent, reason), progress),
      done: () => done(agents.map((agent) => agent.agentId)),
    });
  }
}

/** Do one thing for each agent, some at once; returns what failed. A refused rate is waited for. */
export async function runEach(agents, act, { count, isOver }) {
  const [left, failed] = [[...agents], []];
  let ended = 0;
  const work = async () => {
    for (let agent = left.shift(); agent && !isOver(); agent = left.shift()) {
      try {
        await act(agent);
      } catch (error) {
        if (error.status === 429 && error.retryAfterS) {
          count(ended, `the server takes more in ${error.retryAfterS} s`);
          await new Promise((wake) => setTimeout(wake, error.retryAfterS * 1000));
          left.unshift(agent);
          continue;
        }
        failed.push(`${line(agent.taskId, 80)}: ${error.message}`);
      }
      ended += 1;
      count(ended);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const more = failed.length - SHOWN_FAULTS;
  return [...failed.slice(0, SHOWN_FAULTS), ...(more > 0 ? [`${more} more failed.`] : [])];
}
