// The lines of an agent's output. The output of a tool is folded under the line of its call.

import { h, set } from "./dom.js";
import { clockTime, line, plain, plural } from "./text.js";

const LINE_SHOWN = 4000;
const OUTPUTS = ["output", "failed"];

export class Lines {
  #calls = new Map();
  #last = "";
  #button = null;
  #opened;

  /** `opened` is called before a person opens or closes a fold. */
  constructor(opened) {
    this.#opened = opened;
  }

  /** Draw a record of the log; null if its text is now in the fold of its call. */
  draw(record) {
    const { source, tool } = record;
    const isNewError = source === "error" || (source === "stderr" && this.#last !== "stderr");
    this.#last = source;
    if (!OUTPUTS.includes(source)) {
      const drawn = row(record, isNewError);
      if (tool && source === "tool") this.#calls.set(tool, drawn);
      return drawn;
    }
    const call = this.#calls.get(tool);
    this.#calls.delete(tool);
    const drawn = call ?? row({ ...record, text: "Output of an earlier call" });
    this.#fold(drawn, record);
    return call ? null : drawn;
  }

  /** The log does not contain this line any more. */
  forget(drawn) {
    for (const [tool, call] of this.#calls) if (call === drawn) this.#calls.delete(tool);
  }

  /** One fold has a place in the order of Tab; the arrows lead to the others. */
  turnTo(button) {
    if (!button || button === this.#button) return;
    if (this.#button) set(this.#button, "tabindex", -1);
    set(button, "tabindex", 0);
    this.#button = button;
  }

  /** Move the focus to the fold before or behind a fold. */
  step(button, by) {
    const all = [...button.closest(".log").querySelectorAll(".line:not([hidden]) > .call")];
    const next = all[all.indexOf(button) + by];
    if (!next) return;
    this.turnTo(next);
    next.focus();
  }

  #fold(drawn, { source, text }) {
    const shown = plain(text, LINE_SHOWN).trimEnd();
    const isFailed = source === "failed";
    const body = h("div", { class: "said told", hidden: true }, shown || "No output.");
    const size = shown ? plural(shown.split("\n").length, "line") : "no output";
    const button = h("button", { type: "button", class: "call", "aria-expanded": "false", tabindex: -1 },
      h("span", { class: "said" }, drawn.lastChild.textContent), " ",
      h("span", { class: isFailed ? "bad" : "dim" }, isFailed ? `failed · ${size}` : size));
    button.addEventListener("click", () => {
      this.#opened();
      this.turnTo(button);
      turn(drawn, "open", body.hidden);
      turn(drawn, "found", false);
    });
    drawn.lastChild.replaceWith(button);
    drawn.append(body);
    set(drawn, "data-error", isFailed);
  }
}

/** Set one of two reasons to show the output in a fold: "open" by a person, or text "found" in it. */
export function turn(drawn, reason, isOn) {
  const button = drawn.querySelector(".call");
  if (!button) return;
  set(drawn, `data-${reason}`, isOn);
  const isShown = drawn.matches("[data-open], [data-found]");
  set(button, "aria-expanded", isShown ? "true" : "false");
  set(drawn.lastChild, "hidden", !isShown);
}

function row({ at, source, text }, isError) {
  return h("div", { class: "line", "data-source": line(source, 20), "data-error": isError },
    h("time", {}, clockTime(at)), h("span", { class: "source" }, line(source, 20)), h("span", { class: "said" }, plain(text, LINE_SHOWN)));
}
