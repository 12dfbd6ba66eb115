// The halt: its banner, and the button that halts or resumes.

import { ask, reasonField } from "./dialog.js";
import { h, say, set, write } from "./dom.js";
import { clockTime, line, plural } from "./text.js";

export class Halt {
  #banner;
  #button;
  #halt = null;
  #shown = "";

  /** `post` sends an action, `done` is called after an action. */
  constructor(banner, button, { post, done }) {
    this.#banner = banner;
    this.#button = button;
    button.addEventListener("click", () => (this.#halt ? resume(post, done) : stop(post, done)));
  }

  /** Show the halt in force, or none; `isKnown` is false before the first answer of the server. */
  show(halt, isKnown) {
    set(this.#button, "disabled", !isKnown);
    const key = halt ? JSON.stringify(halt) : "";
    if (this.#shown === key) return;
    this.#shown = key;
    this.#halt = halt;
    write(this.#button, halt ? "Resume…" : "Halt…");
    set(this.#button, "class", halt ? "primary" : "danger");
    set(this.#banner, "hidden", !halt);
    if (!halt) {
      say("The halt is lifted.");
      return;
    }
    this.#banner.replaceChildren(h("p", {}, h("strong", {}, "Halted"),
      ` by ${line(halt.by, 80)} at ${clockTime(halt.at)}${halt.why ? `: ${line(halt.why, 300)}` : ""}. No agent is admitted or started. `,
      h("em", {}, "Resume…"), " or ", h("code", {}, "orch resume --reason …"), " lifts it."));
    say("The system is halted.");
  }
}

function stop(post, done) {
  const reason = reasonField("such as: a runaway prompt");
  const sentence = h("p", {}, "No agent is admitted or started until somebody resumes. Agents that run continue; ",
      h("em", {}, "Kill all…"), " stops them.");
  const shown = ask({
    title: "Halt the system?", label: "Halt", danger: true, body: [sentence], fields: [reason.field],
    confirm: async () => {
      const { onDisk } = await post("/halt", { reason: reason.input.value });
      done();
      if (onDisk !== false) return true;
      write(shown.heading, "Halted, in memory only");
      write(sentence, "Valkey keeps no append-only file: its restart lifts the halt.");
      write(shown.no, "Close");
      [shown.yes.hidden, reason.field.hidden] = [true, true];
      return false;
    },
  });
}

function resume(post, done) {
  const reason = reasonField("such as: the cause is found");
  ask({
    title: "Lift the halt?", label: "Resume", fields: [reason.field],
    body: [h("p", {}, "Agents are admitted again, and those that wait start. The audit needs a reason.")],
    confirm: async () => {
      const { waiting } = await post("/resume", { reason: reason.input.value });
      if (waiting) say(`${plural(waiting, "agent")} waited for the resume.`);
      done();
    },
  });
}
