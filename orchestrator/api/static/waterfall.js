// The waterfall of an agent: when it was in which phase, its gates one by one, and its rework rounds.

import { h } from "./dom.js";
import { FIRST_PHASE, PHASE_OF_GATES, PHASES } from "./phases.js";
import { duration, line } from "./text.js";

const ENDS = { "agent.completed": "Completed", "agent.failed": "Failed", "agent.killed": "Killed" };
const PASSES = ["passed", "not_applicable", "red_before"];
// Shorter than this a bar could not be seen (percent).
const LEAST = 0.4;

/** Return the phases of an agent, in order: {phase, from, to, round, reason, gates}. Pure. */
export function spansOf(events, reports, now) {
  const spans = [];
  let open = null;
  const close = (at) => {
    if (open) spans.push({ ...open, to: Math.max(at, open.from) });
    open = null;
  };
  for (const event of events) {
    const at = Date.parse(event.timestamp);
    if (event.type === "agent.spawning" && !spans.length && !open) {
      open = { phase: FIRST_PHASE, from: at, round: 1, reason: "" };
    } else if (event.type === "agent.phase" && event.to) {
      close(at);
      open = { phase: event.to, from: at, round: event.round ?? 1, reason: event.reason ?? "" };
    } else if (event.type in ENDS) {
      close(at);
    }
  }
  if (open) spans.push({ ...open, to: now, isOpen: true });
  const left = [...reports];
  for (const span of spans) {
    // A round of gates has a report for each of its stages.
    span.gates = span.phase === PHASE_OF_GATES && left.length ? take(left) : [];
  }
  return spans;
}

function take(reports) {
  const found = [];
  do found.push(...(reports.shift().gates ?? []));
  while (reports[0]?.stage === "post-commit");
  return found;
}

/** Draw the spans as a list; each line says in words what its bar shows. */
export function drawWaterfall(spans) {
  if (!spans.length) return null;
  const [from, to] = [spans[0].from, Math.max(...spans.map((span) => span.to))];
  const whole = Math.max(to - from, 1);
  const rows = [];
  let round = 1;
  for (const span of spans) {
    if (span.round > round) {
      round = span.round;
      rows.push(h("li", { class: "round" }, `Rework round ${round}`));
    }
    rows.push(row(PHASES[span.phase]?.label ?? line(span.phase, 60), kindOf(span.phase), span.from - from, span.to - span.from, whole,
      { so: span.isOpen ? "so far" : "", reason: span.reason }));
    let at = span.from - from;
    for (const gate of span.gates) {
      const took = Math.min(gate.durationMs ?? 0, Math.max(0, span.to - from - at));
      const isGood = PASSES.includes(gate.status);
      rows.push(row(line(gate.name, 60), isGood ? "gate good" : "gate bad", at, took, whole,
        { ms: gate.durationMs, so: isGood ? "" : line(gate.status).replace("_", " ") }));
      at += took;
    }
  }
  return h("section", { class: "waterfall" },
    h("h3", {}, `Waterfall · ${duration(whole)}`),
    h("ol", { "aria-label": "Waterfall" }, rows));
}

function row(label, kind, from, took, whole, { so = "", reason = "", ms = took }) {
  const bar = h("i", { class: kind });
  bar.style.left = `${Math.min(100 - LEAST, (from / whole) * 100)}%`;
  bar.style.width = `${Math.max(LEAST, (took / whole) * 100)}%`;
  const length = ms < 1000 ? `${Math.round(ms)} ms` : ms < 60_000 ? `${(ms / 1000).toFixed(1)}s` : duration(ms);
  return h("li", { title: reason ? line(reason, 300) : null }, h("span", { class: kind.startsWith("gate") ? "sub" : null }, label),
    h("span", { class: "track", "aria-hidden": "true" }, bar),
    h("span", { class: "took" }, [length, so].filter(Boolean).join(" ")));
}

function kindOf(phase) {
  if (PHASES[phase]?.isWaiting) return "waits";
  return PHASES[phase]?.label === "Working" ? "works" : "busy";
}
