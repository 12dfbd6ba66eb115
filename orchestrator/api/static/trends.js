// The trends below the strip: the last hour as sparklines, and the last day by repository as a chart.

import { h, set, svg, write } from "./dom.js";
import { count, line, money, repositoryName, short } from "./text.js";

const SPARKS = {
  ended: { title: "Ended", of: (minute) => minute.ended, whole: sum, show: count },
  tokens: { title: "Tokens", of: (minute) => minute.tokens, whole: sum, show: short },
  cost: { title: "Cost", of: (minute) => minute.costUsd, whole: sum, show: (usd) => money(usd) },
  wait: { title: "Wait", of: (minute) => minute.waitS, whole: (_, minutes) => meanWait(minutes), show: seconds },
};
const MEASURES = { ended: { title: "Agents", show: count }, tokens: { title: "Tokens", show: short } };
const [WIDE, HIGH, SPARK_HIGH] = [10, 80, 16];

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

function meanWait(minutes) {
  const started = sum(minutes.map((minute) => minute.started));
  return started ? sum(minutes.map((minute) => minute.waitS * minute.started)) / started : 0;
}

function seconds(value) {
  if (value < 60) return `${value.toFixed(value < 10 ? 1 : 0)}s`;
  return value < 3600 ? `${Math.round(value / 60)}m` : `${(value / 3600).toFixed(1)}h`;
}

export class Trends {
  #parent;
  #server;
  #cells = {};
  #day = h("div", { class: "day" });
  #measure = "ended";
  #data = null;
  #shown = "";

  constructor(parent, server) {
    this.#parent = parent;
    this.#server = server;
    const cells = Object.entries(SPARKS).map(([name, { title }]) => {
      const cell = { figure: h("strong"), line: svg("polyline", { class: "spark-line" }) };
      cell.element = h("span", { class: "spark" }, h("span", { class: "dim" }, title), " ", cell.figure, " ",
        svg("svg", { viewBox: `0 -1 59 ${SPARK_HIGH + 2}`, preserveAspectRatio: "none", "aria-hidden": "true" }, cell.line));
      this.#cells[name] = cell;
      return cell.element;
    });
    parent.append(h("summary", {}, h("span", { class: "trends-name" }, "Last hour"), " ", cells), this.#day);
    parent.addEventListener("toggle", () => this.#draw());
  }

  /** Read the trends again. */
  async refresh() {
    this.#data = await this.#server.get("/trends");
    for (const [name, spark] of Object.entries(SPARKS)) {
      const values = this.#data.minutes.map(spark.of);
      const most = Math.max(...values, Number.MIN_VALUE);
      write(this.#cells[name].figure, spark.show(spark.whole(values, this.#data.minutes)) || "0");
      set(this.#cells[name].line, "points", values.map((value, at) => `${at},${(SPARK_HIGH * (1 - value / most)).toFixed(1)}`).join(" "));
    }
    set(this.#parent, "hidden", false);
    this.#draw();
  }

  // The chart is drawn only while it is open, and anew only for other numbers.
  #draw() {
    if (!this.#parent.open || !this.#data) return;
    const { hours, repositories = [] } = this.#data;
    const key = JSON.stringify([this.#measure, hours, repositories]);
    if (key === this.#shown) return;
    this.#shown = key;
    const before = this.#day.contains(document.activeElement) ? document.activeElement.dataset.measure : null;
    this.#day.replaceChildren(...(repositories.length ? [this.#head(), this.#chart(hours, repositories), table(repositories)]
      : [h("p", { class: "note" }, "No agent has ended in the last 24 hours.")]));
    if (before) this.#day.querySelector(`[data-measure=${before}]`)?.focus();
  }

  #head() {
    return h("div", { class: "day-head" }, h("h2", {}, "Last 24 hours by repository"),
      h("div", { class: "filters", role: "group", "aria-label": "Measure" }, Object.entries(MEASURES).map(([name, { title }]) =>
        h("button", {
          type: "button", "data-measure": name, "aria-pressed": name === this.#measure ? "true" : "false",
          onclick: () => {
            this.#measure = name;
            this.#draw();
          },
        }, title))));
  }

  #chart(hours, repositories) {
    const { title, show } = MEASURES[this.#measure];
    const rows = repositories.map((one) => one[this.#measure]);
    const wholes = hours.map((_, at) => sum(rows.map((row) => row[at])));
    const most = Math.max(...wholes, 1);
    const columns = hours.map((hour, at) => {
      let top = HIGH;
      const parts = rows.map((row, number) => {
        const height = (row[at] / most) * HIGH;
        top -= height;
        return height > 0 && svg("rect", { class: `r${number}`, x: at * WIDE + 1, y: top.toFixed(2), width: WIDE - 2, height: height.toFixed(2) });
      });
      return svg("g", {}, svg("title", {}, `${clock(hour)}: ${show(wholes[at])}`), ...parts.filter(Boolean),
        svg("rect", { class: "hit", x: at * WIDE, y: 0, width: WIDE, height: HIGH }));
    });
    return h("figure", {},
      h("figcaption", { class: "dim" }, `${title}, at most ${show(Math.max(...wholes))} an hour`),
      svg("svg", { viewBox: `0 0 ${hours.length * WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title} by hour, the numbers of each repository are in the table` }, ...columns),
      h("div", { class: "axis dim", "aria-hidden": "true" }, [0, Math.floor(hours.length / 2), hours.length - 1].map((at) => h("span", {}, clock(hours[at])))));
  }
}

function table(repositories) {
  return h("table", { class: "legend" },
    h("thead", {}, h("tr", {}, ["Repository", "Agents", "Tokens"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, repositories.map((one, at) => h("tr", {},
      h("th", { scope: "row", title: line(one.repository, 300) || null },
        svg("svg", { viewBox: "0 0 10 10", class: "key", "aria-hidden": "true" }, svg("rect", { class: `r${at}`, width: 10, height: 10, rx: 2 })),
        one.repository ? line(repositoryName(one.repository), 60) : "All others"),
      h("td", {}, count(sum(one.ended))), h("td", {}, short(sum(one.tokens)))))));
}

function clock(instant) {
  return new Date(instant).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}
