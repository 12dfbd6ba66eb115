// The strip above the list: each queue with its switch, today's budget, the slots.

import { h, meter, say, set, write } from "./dom.js";
import { count, duration, line, money, plural, short } from "./text.js";

const WORDS = {
  within_budget: "within budget", approaching_limit: "approaching the limit",
  at_limit: "at the limit", exceeded: "over the limit",
};

export class Strip {
  #parent;
  #cells = new Map();
  #server;
  #told = "";

  constructor(parent, server, dialogs) {
    this.#parent = parent;
    this.#server = server;
    this.dialogs = dialogs;
  }

  /** Read queues and budget again; return the token limit of one agent, and the paused queues. */
  async refresh() {
    const [queues, budget] = await Promise.all([
      this.#server.get("/queues"),
      this.#server.get("/budget"),
    ]);
    for (const queue of queues.queues ?? []) this.#queue(queue);
    this.#budget(budget);
    const paused = (queues.queues ?? []).filter((queue) => queue.isPaused).map((queue) => queue.name);
    return { agentLimit: budget.limits.agentTokens, paused };
  }

  #cell(name, build) {
    if (!this.#cells.has(name)) {
      const cell = build();
      this.#cells.set(name, cell);
      this.#parent.append(cell.element);
    }
    return this.#cells.get(name);
  }

  #queue(queue) {
    const cell = this.#cell(`queue ${queue.name}`, () => {
      const made = {
        title: h("h2", {}, line(queue.name)), mark: h("span", { class: "mark", hidden: true }, "Paused"),
        figures: h("p"), button: h("button", { type: "button" }),
      };
      made.button.addEventListener("click", () => this.#turn(made.queue, made.button));
      made.element = h("article", { class: "cell queue" }, h("div", {}, h("div", { class: "name" }, made.title, made.mark), made.figures), made.button);
      return made;
    });
    cell.queue = queue;
    set(cell.element, "data-paused", queue.isPaused ? "yes" : null);
    set(cell.mark, "hidden", !queue.isPaused);
    const oldest = queue.pending && queue.oldestAgeS ? `, oldest ${duration(queue.oldestAgeS * 1000)}` : "";
    const delayed = queue.delayed ? ` · ${count(queue.delayed)} delayed` : "";
    write(cell.figures, `${count(queue.pending)} waiting${oldest} · ${count(queue.active)} active${delayed}`);
    const by = queue.pause ? `Paused by ${line(queue.pause.by)}${queue.pause.why ? `: ${line(queue.pause.why)}` : ""}. ` : "";
    set(cell.element, "title", `${by}${count(queue.completed)} worked off, ${count(queue.failed)} failed`);
    write(cell.button, queue.isPaused ? "Resume" : "Pause");
    set(cell.button, "aria-label", `${queue.isPaused ? "Resume" : "Pause"} the queue ${line(queue.name)}`);
  }

  async #turn(queue, button) {
    const verb = queue.isPaused ? "resume" : "pause";
    button.disabled = true;
    try {
      await this.#server.post(`/queues/${encodeURIComponent(queue.name)}/${verb}`, {});
      say(`The queue ${line(queue.name)} is ${verb}d.`);
      await this.refresh();
    } catch (error) {
      this.dialogs.tell(`The queue ${line(queue.name)} could not be ${verb}d`, error.message);
    } finally {
      button.disabled = false;
    }
  }

  #budget(budget) {
    const cell = this.#cell("budget", () => {
      const made = { figures: h("p"), bar: h("div"), mark: h("span", { class: "mark", hidden: true }) };
      made.element = h("article", { class: "cell budget" },
        h("div", {}, h("div", { class: "name" }, h("h2", {}, "Today's tokens"), made.mark), made.bar, made.figures));
      return made;
    });
    const percent = (tokens) => (budget.limit ? (tokens / budget.limit) * 100 : 0);
    const words = WORDS[budget.status] ?? line(budget.status);
    const figures = [
      `${short(budget.used)} of ${short(budget.limit)}`,
      budget.reserved ? `${short(budget.reserved)} reserved` : "",
      budget.limits.dailyUsd
        ? `${money(budget.costUsd) || "$0"} of ${money(budget.limits.dailyUsd)} (${budget.percentUsd} %)`
        : money(budget.costUsd),
    ].filter(Boolean).join(" · ");
    const shown = figures + words;
    set(cell.element, "data-status", budget.status);
    set(cell.mark, "hidden", budget.status === "within_budget");
    write(cell.mark, words[0].toUpperCase() + words.slice(1));
    write(cell.figures, figures);
    if (cell.shown !== shown) {
      cell.shown = shown;
      const used = percent(budget.used);
      cell.bar.replaceChildren(meter("Tokens spent today", `${figures}, ${words}`, [used, Math.min(100 - used, percent(budget.reserved))]));
    }
    if (this.#told && this.#told !== budget.status) say(`Today's tokens: ${words}.`);
    this.#told = budget.status;
    this.#places(budget);
  }

  #places({ running, waiting, limits }) {
    const cell = this.#cell("places", () => {
      const made = { figures: h("p"), bar: h("div") };
      made.element = h("article", { class: "cell places" }, h("div", {}, h("div", { class: "name" }, h("h2", {}, "Slots")), made.bar, made.figures));
      return made;
    });
    const figures = `${count(running)} of ${plural(limits.concurrency, "agent")}${waiting ? ` · ${count(waiting)} wait` : ""}`;
    if (cell.shown === figures) return;
    cell.shown = figures;
    write(cell.figures, figures);
    cell.bar.replaceChildren(meter("Agents at once", figures, [Math.min(79, (running / limits.concurrency) * 100)]));
  }
}
