// The live tail of an agent's output: it follows the newest line, finds text, and jumps to errors.

import { h, say, set, write } from "./dom.js";
import { Lines, turn } from "./lines.js";
import { line, plural } from "./text.js";

const LINES_SHOWN = 2000;
// So near to its end the log follows the newest line.
const NEAR_END_PX = 40;
const SCROLL_BEGINS_MS = 400;
// The choice holds for each agent that is opened.
let isWrapped = true;

/** Open the tail of one agent in an element; the result closes it, and takes keys. */
export function openOutput(body, id, server) {
  const ender = new AbortController();
  const note = h("p", { class: "note" }, "Reading…");
  const log = h("div", { class: "log", role: "log", "aria-live": "off", "aria-label": "Output", tabindex: 0 });
  const find = h("input", { type: "search", placeholder: "Find", "aria-label": "Find in output" });
  const found = h("span", { class: "dim", role: "status" });
  const wrap = h("button", { type: "button", class: "small", title: "Wrap long lines (w)", "aria-label": "Wrap long lines" }, "Wrap");
  const error = h("button", { type: "button", class: "small", title: "Jump to the first error, then to the next (e)", disabled: true }, "Next error");
  const place = h("span", { class: "dim" });
  const newest = h("button", { type: "button", class: "small", hidden: true }, "Newest line");
  body.append(h("div", { class: "tail-tools" }, find, found, h("span", { class: "grow" }), newest, place, error, wrap), note, log);
  let [waiting, frame, dropped, isFollowing, at] = [[], 0, 0, true, null];

  const toEnd = () => {
    log.scrollTop = log.scrollHeight;
  };
  const follow = (isOn) => {
    isFollowing = isOn;
    set(newest, "hidden", isOn);
    if (isOn) toEnd();
  };
  // A line has its height only when it is drawn, and the log has less when the panel says more: then
  // the end moves, and no person scrolled.
  const watch = new ResizeObserver(() => isFollowing && toEnd());
  watch.observe(log);
  // Only a person scrolls up: with a wheel, a finger, a key, or the bar, which a pressed button drags.
  let [isHeld, askedAt] = [false, -Infinity];
  const leave = () => {
    askedAt = performance.now();
    if (log.scrollHeight > log.clientHeight) follow(false);
  };
  const lines = new Lines(() => follow(false));
  log.addEventListener("wheel", (event) => event.deltaY < 0 && leave(), { passive: true });
  log.addEventListener("touchmove", leave, { passive: true });
  log.addEventListener("keydown", (event) => {
    if (["ArrowUp", "PageUp", "Home"].includes(event.key)) leave();
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by || !event.target.matches(".call")) return;
    event.preventDefault();
    lines.step(event.target, by);
  });
  log.addEventListener("pointerdown", () => (isHeld = true));
  window.addEventListener("pointerup", () => (isHeld = false), { signal: ender.signal });
  log.addEventListener("scroll", () => {
    // The scroll that a person asked for begins some frames later.
    if (performance.now() - askedAt < SCROLL_BEGINS_MS) return;
    if (isHeld || isAtEnd(log)) follow(isAtEnd(log));
    else if (isFollowing) toEnd();
  });
  newest.addEventListener("click", () => follow(true));
  const search = () => {
    const wanted = find.value.trim().toLowerCase();
    let count = 0;
    for (const one of log.children) {
      const has = !wanted || one.textContent.toLowerCase().includes(wanted);
      set(one, "hidden", !has);
      turn(one, "found", Boolean(wanted) && one.lastChild.textContent.toLowerCase().includes(wanted));
      count += has;
    }
    write(found, wanted ? plural(count, "line") : "");
    showErrors();
    if (isFollowing) toEnd();
  };
  find.addEventListener("input", search);

  const errors = () => [...log.querySelectorAll(".line[data-error]:not([hidden])")];
  const showErrors = () => {
    const all = errors();
    const number = all.indexOf(at) + 1;
    set(error, "disabled", !all.length);
    write(place, number ? `${number} of ${all.length}` : all.length ? plural(all.length, "error") : "");
  };
  const nextError = () => {
    const all = errors();
    if (!all.length) return;
    if (at) set(at, "data-at", null);
    at = all[(all.indexOf(at) + 1) % all.length];
    set(at, "data-at", "yes");
    turn(at, "open", true);
    lines.turnTo(at.querySelector(".call"));
    askedAt = performance.now();
    follow(false);
    at.scrollIntoView({ block: "start" });
    showErrors();
    say(`Error ${place.textContent}: ${line(at.lastChild.textContent)}`);
  };
  error.addEventListener("click", nextError);
  const turnWrap = (isOn) => {
    isWrapped = isOn;
    set(wrap, "aria-pressed", isOn ? "true" : "false");
    set(log, "data-wrap", isOn ? "yes" : "no");
    if (isFollowing) toEnd();
  };
  wrap.addEventListener("click", () => turnWrap(!isWrapped));
  turnWrap(isWrapped);

  const flush = () => {
    frame = 0;
    const records = waiting.slice(-LINES_SHOWN);
    dropped += waiting.length - records.length;
    waiting = [];
    const added = records.map((record) => lines.draw(record)).filter(Boolean);
    log.append(...added);
    for (const one of added) watch.observe(one);
    for (; log.childElementCount > LINES_SHOWN; dropped += 1) {
      watch.unobserve(log.firstChild);
      lines.forget(log.firstChild);
      log.firstChild.remove();
    }
    // The focus of a person stays the place from which Tab and the arrows go on.
    if (!document.activeElement.matches(".call") && !at) lines.turnTo([...log.querySelectorAll(".call")].at(-1));
    if (find.value) search();
    else showErrors();
    if (isFollowing) toEnd();
    write(note, dropped ? `The newest ${plural(LINES_SHOWN, "line")}; orch logs has ${plural(dropped, "earlier one")}.` : "");
    set(note, "hidden", !dropped);
  };
  server.follow(`/agents/${encodeURIComponent(id)}/logs`, {
    signal: ender.signal,
    state: (state, problem) => {
      if (state === "live" && !log.childElementCount) write(note, "No output yet.");
      if (state === "refused") write(note, problem.message);
    },
    heard: (event, data) => {
      if (event === "end") {
        if (!log.childElementCount && !waiting.length) write(note, "No output.");
        return false;
      }
      waiting.push(data);
      frame ||= requestAnimationFrame(flush);
      return true;
    },
  });
  return {
    close: () => {
      ender.abort();
      watch.disconnect();
    },
    press: (key) => {
      if (key === "e") {
        nextError();
        log.focus({ preventScroll: true });
      } else if (key === "w") turnWrap(!isWrapped);
      else return false;
      return true;
    },
  };
}

function isAtEnd(log) {
  return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX;
}
