// The browser's notifications of agents that newly need attention. They are off until asked for.

import { h, icon, set } from "./dom.js";
import { line } from "./text.js";

const STORED = "orchestrator-notify";

export class Notifier {
  #button;
  #banner;
  #open;
  #isOn = false;

  /** `button` switches, `banner` says what is missing, `open` shows the agent of an id. */
  constructor(button, banner, open) {
    this.#button = button;
    this.#banner = banner;
    this.#open = open;
    button.addEventListener("click", () => this.#switch());
    this.#turn(localStorage.getItem(STORED) === "on" && !lacking());
  }

  get isOn() {
    return this.#isOn;
  }

  /** Show one notification of an agent; it replaces an earlier one of the same agent. */
  notify({ agentId, taskId }, { why }) {
    if (!this.#isOn) return;
    let shown;
    try {
      shown = new Notification(line(taskId, 80), { body: why, tag: agentId });
    } catch (error) {
      // Browsers of phones have the class, and refuse its constructor.
      if (!(error instanceof TypeError)) throw error;
      this.#refuse("This browser shows notifications of installed applications only.");
      return;
    }
    shown.onclick = () => {
      shown.close();
      window.focus();
      this.#open(agentId);
    };
  }

  async #switch() {
    set(this.#banner, "hidden", true);
    if (this.#isOn) {
      this.#turn(false);
      return;
    }
    if (globalThis.Notification?.permission === "default") await Notification.requestPermission();
    const lack = lacking();
    if (lack) this.#refuse(lack);
    else this.#turn(true);
  }

  #turn(isOn) {
    this.#isOn = isOn;
    if (isOn) localStorage.setItem(STORED, "on");
    else localStorage.removeItem(STORED);
    set(this.#button, "aria-pressed", isOn ? "true" : "false");
  }

  #refuse(lack) {
    this.#turn(false);
    const close = h("button", { type: "button", class: "plain", "aria-label": "Close this message" }, icon("close"));
    close.addEventListener("click", () => {
      set(this.#banner, "hidden", true);
      this.#button.focus();
    });
    this.#banner.replaceChildren(h("p", {}, lack), close);
    set(this.#banner, "hidden", false);
  }
}

/** What notifications lack; empty if they are possible. */
function lacking() {
  if (!globalThis.isSecureContext) return "Notifications need HTTPS, or an address of this machine such as localhost.";
  if (!("Notification" in globalThis)) return "This browser has no notifications for pages.";
  if (Notification.permission === "denied") return "The browser blocks notifications of this page. Allow them in its settings for this site, then switch them on here.";
  if (Notification.permission !== "granted") return "The browser was not given permission for notifications.";
  return "";
}
