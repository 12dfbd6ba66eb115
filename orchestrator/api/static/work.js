// The work of an agent that its push does not contain, and the command that hands it out.

import { h } from "./dom.js";
import { line, plural } from "./text.js";

const MOST_SHOWN = 20;

/** Return a title and the parts of it; null if the push contains all work. */
export function workOutside(agent) {
  const { notSaved, retained = [], leftOut = [], unfinished = [] } = agent;
  const parts = [];
  const name = line(agent.agentId, 128);
  if (notSaved) {
    parts.push({
      title: "Not stored", count: "not stored", command: `orch export ${name}`,
      lines: [`Attempt ${notSaved.attempt}: ${line(notSaved.reason, 300)}`, `${line(notSaved.host, 100)}:${line(notSaved.path, 300)}`],
    });
  }
  if (retained.length) {
    parts.push({
      title: "Retained outside the change", count: plural(retained.length, "retained commit"), command: `orch diff ${name}`,
      lines: retained.map(({ ref, commit, subject, kind }) => `${line(ref, 200)} (${line(kind, 20)}, ${line(commit).slice(0, 12)}) ${line(subject ?? "", 200)}`),
    });
  }
  if (leftOut.length) {
    const total = leftOut.reduce((sum, { count }) => sum + count, 0);
    parts.push({
      title: "Left out", count: `${total} left out`,
      lines: leftOut.map(({ reason, count, paths = [], attempt }) => {
        const more = count > paths.length ? ` and ${count - paths.length} more` : "";
        const when = attempt && attempt !== agent.attempt ? ` (attempt ${attempt})` : "";
        return `${line(reason, 200)}${when}: ${paths.map((path) => line(path, 200)).join(", ")}${more}`;
      }),
    });
  }
  if (unfinished.length) {
    parts.push({ title: "Unfinished", count: plural(unfinished.length, "unfinished operation"), lines: unfinished.map((text) => line(text, 300)) });
  }
  return parts.length ? { title: `Work outside the push: ${parts.map(({ count }) => count).join(", ")}`, isOpen: Boolean(notSaved), parts } : null;
}

/** Draw it; `command` draws a command to copy. */
export function drawWork({ title, isOpen, parts }, command) {
  return h("details", { class: "outside", open: isOpen },
    h("summary", {}, title),
    parts.flatMap((part) => [
      h("h3", {}, part.title),
      h("ul", {}, part.lines.slice(0, MOST_SHOWN).map((text) => h("li", {}, text))),
      part.lines.length > MOST_SHOWN && h("p", { class: "dim" }, `${plural(part.lines.length - MOST_SHOWN, "line")} more: orch inspect`),
      part.command && command(part.command),
    ].filter(Boolean)));
}
