// The tabs of an agent. Each tab opens into an element and may close and refresh.

import { drawPatch } from "./diff.js";
import { h, icon, withCommands } from "./dom.js";
import { openOutput } from "./output.js";
import { clockTime, duration, line, plain } from "./text.js";
import { drawWaterfall, spansOf } from "./waterfall.js";

/** A tab that is read when it opens, and again when the agent has changed. */
function reading(load) {
  return (body, id, server, agentOf) => {
    let [isOpen, seen, asked] = [true, null, 0];
    body.append(h("p", { class: "note" }, "Reading…"));
    const read = async () => {
      const mine = (asked += 1);
      let content;
      try {
        content = await load(`/agents/${encodeURIComponent(id)}`, server, agentOf());
      } catch (error) {
        content = [h("p", { class: "note" }, error.message)];
      }
      if (isOpen && mine === asked) body.replaceChildren(...content);
    };
    return {
      close: () => (isOpen = false),
      refresh: (agent) => {
        const now = [agent.status, agent.phase, agent.attempt].join();
        if (seen !== now) read();
        seen = now;
      },
    };
  };
}

async function timeline(path, server) {
  const [{ events = [], audit = [] }, { reports = [] }] = await Promise.all([
    server.get(`${path}/timeline`), server.get(`${path}/gates`),
  ]);
  const entries = [
    ...events.map((event) => ({
      at: event.timestamp, what: line(event.type, 60).replace(/^agent\./, ""), kind: "event",
      text: [event.from ? `${event.from} → ${event.to}` : event.phase, event.round > 1 && `round ${event.round}`, event.reason, event.attempt > 1 && `attempt ${event.attempt}`, event.error, event.files && `also touched by ${line(event.other)}: ${event.files.join(", ")}`],
    })),
    ...audit.map((entry) => ({
      at: entry.at, what: line(entry.action, 60), kind: "audit",
      text: [`by ${line(entry.who)}`, entry.why && `“${entry.why}”`, entry.before && `before: ${entry.before}`, entry.result],
    })),
  ].sort((a, b) => (a.at < b.at ? -1 : 1));
  if (!entries.length) return [h("p", { class: "note" }, "Its events are no longer stored.")];
  let before = null;
  const waterfall = drawWaterfall(spansOf(events, reports, Date.now()));
  return [h("div", { class: "times", tabindex: 0, role: "region", "aria-label": "Timeline" }, waterfall ?? "", h("ol", { class: "timeline", "aria-label": "Events" }, entries.map(({ at, what, kind, text }) => {
    const gap = before === null ? "" : `+${duration(Date.parse(at) - before)}`;
    before = Date.parse(at);
    return h("li", { class: kind }, h("time", { datetime: at }, clockTime(at)), h("span", { class: "gap" }, gap),
      h("strong", {}, what), h("span", { class: "dim" }, withCommands(line(text.filter(Boolean).join(" · "), 600))));
  })))];
}

async function gates(path, server) {
  const { reports = [] } = await server.get(`${path}/gates`);
  if (!reports.length) return [h("p", { class: "note" }, "No gate report yet.")];
  return [h("div", { class: "reports", tabindex: 0, role: "region", "aria-label": "Gate reports" }, reports.toReversed().map(report))];
}

function report({ attempt, stage, profile, approved, gates: results = [], findings = [] }) {
  return h("section", { class: "report" },
    h("h3", { class: approved ? "good" : "bad" }, icon(approved ? "completed" : "failed"),
      `${approved ? "Approved" : "Rejected"} · ${line(stage)} · attempt ${attempt} · ${line(profile)}`),
    h("table", {}, h("thead", {}, h("tr", {}, ["Gate", "Result", "Took", "Exit"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, results.flatMap((gate) => [
        h("tr", {}, h("th", { scope: "row" }, line(gate.name, 80)),
          h("td", { class: ["passed", "not_applicable", "red_before"].includes(gate.status) ? "good" : "bad" }, line(gate.status).replace("_", " ")),
          h("td", {}, gate.durationMs < 1000 ? `${gate.durationMs ?? 0} ms` : duration(gate.durationMs)), h("td", {}, gate.exitCode === undefined ? "" : String(gate.exitCode))),
        gate.command && h("tr", {}, h("td", { colspan: 4, class: "ran" }, h("code", {}, line(gate.command, 600)))),
        gate.detail && h("tr", {}, h("td", { colspan: 4 }, h("pre", { tabindex: 0 }, plain(gate.detail, 20_000)))),
      ].filter(Boolean)))),
    findings.length ? h("ul", { class: "findings" }, findings.slice(0, 200).map((finding) => h("li", {},
      h("strong", {}, line(finding.kind, 60)), " ", h("code", {}, line(finding.path, 300) + (finding.line ? `:${finding.line}` : "")), " ", line(finding.detail, 600)))) : null);
}

async function change(path, server) {
  const text = await server.get(`${path}/diff`, { text: true });
  if (!text.trim()) return [h("p", { class: "note" }, "It has no change.")];
  return drawPatch(text);
}

async function record(path, server, agent) {
  const parts = [h("h3", {}, "Record"), list(agent ?? {})];
  if (agent?.status === "killed") {
    parts.push(h("h3", {}, "Receipt of the kill"), list(await server.get(`${path}/receipt`)));
  }
  return [h("div", { class: "record", tabindex: 0, role: "region", "aria-label": "Record" }, parts)];
}

function list(document) {
  return h("dl", {}, flat(document).map(([name, value]) => h("div", {}, h("dt", {}, line(name, 80)), h("dd", {}, plain(value, 4000)))));
}

function flat(document, before = "") {
  return Object.entries(document).flatMap(([name, value]) => {
    if (value === null || value === undefined) return [];
    if (typeof value === "object" && !Array.isArray(value)) return flat(value, `${before}${name}.`);
    return [[before + name, typeof value === "string" ? value : JSON.stringify(value)]];
  });
}

export const TABS = {
  output: { title: "Output", open: openOutput },
  timeline: { title: "Timeline", open: reading(timeline) },
  gates: { title: "Gates", open: reading(gates) },
  change: { title: "Change", open: reading(change) },
  record: { title: "Record", open: reading(record) },
};
