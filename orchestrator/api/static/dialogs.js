// The dialogs of the page: kill, retry, actions on several agents, the keys, and the API key.

import { ask, checkField, field, reasonField } from "./dialog.js";
import { h, set, write } from "./dom.js";
import { line, plural } from "./text.js";

export class Dialogs {
  #server;
  constructor(server) {
    this.#server = server;
  }

  /** Report an action that failed. */
  tell(title, text) {
    ask({ title, body: [h("p", {}, text)], cancel: "Close" });
  }

  kill(agent) {
    const reason = reasonField("such as: works on the wrong branch");
    const discard = checkField("Discard its change");
    ask({
      title: "Kill this agent?",
      body: [h("p", {}, h("strong", {}, line(agent.taskId, 200)), " stops at once. Its change is retained unless you discard it.")],
      fields: [reason.field, discard.field], label: "Kill agent", danger: true,
      confirm: () => this.#server.post(`/agents/${encodeURIComponent(agent.agentId)}/kill`, {
        reason: reason.input.value, discard: discard.input.checked,
      }),
    });
  }

  /** `active` returns the number of active agents; the label of the button follows it. */
  killAll(active, done) {
    const reason = reasonField("such as: leaked credentials");
    const sentence = h("p");
    const shown = ask({
      title: "Kill every agent?", body: [sentence], fields: [reason.field], label: "Kill", danger: true,
      confirm: async () => {
        write(shown.yes, "Killing…");
        clearInterval(timer);
        const report = await this.#server.post("/agents/kill-all", { reason: reason.input.value });
        done(report);
        if (!report.failed) return true;
        write(shown.heading, line(report.message));
        write(sentence, report.errors.slice(0, 5).map((error) => line(error)).join(" "));
        write(shown.no, "Close");
        shown.yes.hidden = true;
        return false;
      },
    });
    const follow = () => {
      const count = active();
      write(shown.yes, `Kill ${plural(count, "agent")}`);
      write(sentence, `${plural(count, "agent")} ${count === 1 ? "runs or waits and stops" : "run or wait and stop"} at once. The change of each is retained; queues still accept new agents.`);
    };
    follow();
    const timer = setInterval(follow, 500);
    shown.dialog.addEventListener("close", () => clearInterval(timer));
  }

  retry(agent, done) {
    const reason = reasonField("such as: the remote is reachable again");
    const afresh = checkField("Start from the branch, not from the retained change");
    ask({
      title: "Spawn this agent again?",
      body: [h("p", {}, "A new agent runs the same request. It continues from the retained change, if there is one.")],
      fields: [reason.field, afresh.field], label: "Retry",
      confirm: async () => {
        const spawned = await this.#server.post(`/agents/${encodeURIComponent(agent.agentId)}/retry`, {
          reason: reason.input.value, afresh: afresh.input.checked,
        });
        done(spawned.agentId);
      },
    });
  }

  /** Ask before an action on several agents, run it, and show how far it is and what failed. */
  each({ title, text, names, label, danger, run, done }) {
    const reason = reasonField("such as: the remote is reachable again");
    const shown = names.slice(0, 5).join(", ") + (names.length > 5 ? ` and ${names.length - 5} more` : "");
    const progress = h("p", { class: "note", role: "status" });
    let isClosed = false;
    const asked = ask({
      title, body: [h("p", {}, text), h("p", { class: "dim" }, shown), progress], fields: [reason.field], label, danger,
      confirm: async () => {
        write(asked.no, "Stop");
        const failed = await run(reason.input.value, {
          count: (ended, remark = "") => write(progress, `${ended} of ${names.length}${remark ? `, ${remark}` : ""}`),
          isOver: () => isClosed,
        });
        done();
        if (!failed.length) return true;
        write(asked.fault, failed.join(" "));
        write(asked.no, "Close");
        asked.yes.hidden = true;
        return false;
      },
    });
    asked.dialog.addEventListener("close", () => (isClosed = true));
  }

  /** Show the keys of the page. */
  keys(keys) {
    ask({
      title: "Keys", cancel: "Close",
      body: [h("dl", { class: "keys" }, Object.entries(keys).map(([key, effect]) =>
        h("div", {}, h("dt", {}, key.split(" ").map((one) => h("kbd", {}, one))), h("dd", {}, effect))))],
    });
  }

  /** Ask for a key; `done` retries with it. */
  key(why, keep, done) {
    if (document.querySelector("dialog.api-key")) return;
    const input = h("input", { type: "password", autocomplete: "off", spellcheck: "false" });
    const { dialog, yes } = ask({
      title: "An API key, please",
      body: [
        h("p", {}, why),
        h("p", { class: "note" }, "The key is stored in this tab until the tab is closed. Without a key, open the address that ",
          h("code", {}, "orch dashboard"), " prints on a host of the system."),
      ],
      fields: [field("API key", input)], label: "Use key",
      confirm: () => {
        keep(input.value.trim());
        done();
      },
    });
    set(dialog, "class", "api-key");
    input.addEventListener("keydown", (event) => event.key === "Enter" && yes.click());
    input.focus();
  }
}
