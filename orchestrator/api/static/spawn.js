// The dialog that spawns an agent: its fields, and the request that they make.

import { ask, field } from "./dialog.js";
import { h } from "./dom.js";
import { AGENT_TYPES } from "./phases.js";

const PRIORITIES = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1];
const NOTES = { 10: "10, most urgent", 5: "5, default", 1: "1, least urgent" };
const MOST_KNOWN = 20;
const EMPTY = { repository: "", branch: "", items: "", type: AGENT_TYPES[0], priority: "5", task: "" };

// What was written stays when the dialog is closed, until an agent is spawned from it.
let draft = { ...EMPTY };
let sent = { body: "", key: "" };

/** The spawn request of these values; each line of `items` is one work item. Pure. */
export function requestOf({ repository, branch, items, type, priority, task }, newTask) {
  return {
    taskId: task.trim() || newTask,
    agentType: type,
    priority: Number(priority),
    context: {
      repository: repository.trim(), branch: branch.trim(),
      workItems: items.split("\n").map((item) => item.trim()).filter(Boolean),
    },
  };
}

function randomName(bytes) {
  return [...crypto.getRandomValues(new Uint8Array(bytes))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Ask for a request and spawn its agent; `known` are addresses to offer, `done` gets the agentId. */
export function askSpawn(post, known, done) {
  if (document.querySelector("dialog[open]")) return;
  const newTask = `page-${randomName(6)}`;
  const offered = h("datalist", { id: "known-repositories" },
    [...new Set(known)].slice(0, MOST_KNOWN).map((value) => h("option", { value })));
  const plain = { type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "off" };
  const controls = {
    repository: h("input", { ...plain, list: offered.id, placeholder: "https://git.example.org/shop/backend.git" }),
    branch: h("input", { ...plain, placeholder: "main" }),
    items: h("textarea", { rows: 4, placeholder: "Fix the rounding of invoices" }),
    type: h("select", {}, AGENT_TYPES.map((value) => h("option", { value }, value))),
    priority: h("select", {}, PRIORITIES.map((value) => h("option", { value }, NOTES[value] ?? String(value)))),
    task: h("input", { ...plain, placeholder: "made by this page" }),
  };
  for (const [name, control] of Object.entries(controls)) {
    control.value = draft[name];
    control.addEventListener("input", () => (draft[name] = control.value));
  }
  const { dialog } = ask({
    title: "Spawn an agent", label: "Spawn agent", body: [offered],
    fields: [
      field("Repository", controls.repository, "context.repository"),
      field("Branch", controls.branch, "context.branch"),
      field("Work items, one a line", controls.items, "context.workItems"),
      field("Agent type", controls.type, "agentType"),
      field("Priority", controls.priority, "priority"),
      field("Task (optional)", controls.task, "taskId"),
    ],
    confirm: async () => {
      const request = requestOf(draft, newTask);
      const body = JSON.stringify(request);
      // The same request again, after an answer that was lost, returns the same agent.
      if (sent.body !== body) sent = { body, key: randomName(16) };
      const { agentId } = await post("/agents/spawn", request, { "Idempotency-Key": sent.key });
      sent = { body: "", key: "" };
      draft = { ...draft, items: "", task: "" };
      done(agentId);
    },
  });
  dialog.classList.add("wide");
  controls.repository.focus();
}
