// A modal dialog: its buttons, its fields, and the faults of a refused action at their fields.

import { h, set, write } from "./dom.js";
import { line } from "./text.js";

let number = 0;

/**
 * Open a modal dialog; `confirm` performs the action and may throw the server's refusal.
 *
 * The cancel button has the focus, so that an accidental key does nothing. A fault whose path is the
 * `data-path` of a field, or below it, is shown at that field.
 */
export function ask({ title, body, fields = [], confirm, label, danger = false, cancel = "Cancel" }) {
  const id = `dialog-${(number += 1)}`;
  const heading = h("h2", { id }, title);
  const fault = h("p", { class: "fault", role: "alert" });
  const no = h("button", { type: "button", onclick: () => dialog.close() }, cancel);
  const yes = label && h("button", { type: "button", class: danger ? "danger solid" : "primary" }, label);
  const back = document.activeElement;
  const dialog = h("dialog", { "aria-labelledby": id },
    heading, ...body, ...fields, fault, h("div", { class: "answers" }, no, yes));
  yes?.addEventListener("click", async (event) => {
    // A key that is held down would confirm before the user has read the text.
    if (dialog.dataset.busy) return;
    dialog.dataset.busy = "yes";
    yes.disabled = true;
    write(fault, "");
    mark(fields, []);
    try {
      if ((await confirm(event)) !== false) dialog.close();
    } catch (error) {
      const { rest, first } = mark(fields, error.errors ?? []);
      const said = first ? "The request is refused: see the marked fields." : error.message;
      write(fault, [said, ...rest.map(({ path, message }) => `${line(path)}: ${line(message)}`)].join(" "));
      first?.focus();
    }
    delete dialog.dataset.busy;
    yes.disabled = false;
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (back?.isConnected) back.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  no.focus();
  return { dialog, yes, fault, no, heading };
}

/** Show each fault at its field; return those that belong to none, and the first marked control. */
function mark(fields, faults) {
  const left = [...faults];
  let first = null;
  for (const box of fields) {
    const { path } = box.dataset;
    if (!path) continue;
    const [control, note] = [box.querySelector("input, textarea, select"), box.querySelector(".fault")];
    const said = [];
    for (const one of [...left]) {
      if (one.path !== path && !one.path.startsWith(`${path}.`)) continue;
      left.splice(left.indexOf(one), 1);
      said.push([one.path.slice(path.length + 1), one.message].filter(Boolean).map((text) => line(text)).join(": "));
    }
    write(note, said.slice(0, 5).join(" · "));
    set(control, "aria-invalid", said.length ? "true" : null);
    if (said.length) first ??= control;
  }
  return { rest: left, first };
}

/** A labelled control; `path` is that of its value in the request. */
export function field(text, control, path = "") {
  const id = `field-${(number += 1)}`;
  set(control, "id", id);
  set(control, "aria-describedby", `${id}-fault`);
  return h("div", { class: "field", "data-path": path || null }, h("label", { for: id }, text), control,
    h("small", { class: "fault", id: `${id}-fault` }));
}

export function reasonField(placeholder) {
  const input = h("input", { type: "text", maxlength: 1000, placeholder, autocomplete: "off" });
  return { input, field: field("Reason, for the audit", input, "reason") };
}

export function checkField(text) {
  const input = h("input", { type: "checkbox" });
  return { input, field: h("label", { class: "check" }, input, h("span", {}, text)) };
}
