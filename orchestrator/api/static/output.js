// The live tail of an agent's output: it follows the newest line, and finds text.

import { h, set, write } from "./dom.js";
import { clockTime, line, plain, plural } from "./text.js";

const LINES_SHOWN = 2000;
const LINE_SHOWN = 4000;
// So near to its end the log follows the newest line.
const NEAR_END_PX = 40;
const SCROLL_BEGINS_MS = 400;

/** Open the tail of one agent in an element; the result closes it. */
export function openOutput(body, id, server) {
  const ender = new AbortController();
  const note = h("p", { class: "note" }, "Reading…");
  const log = h("div", { class: "log", role: "log", "aria-live": "off", "aria-label": "Output", tabindex: 0 });
  const find = h("input", { type: "search", placeholder: "Find in output", "aria-label": "Find in output" });
  const found = h("span", { class: "dim", role: "status" });
  const newest = h("button", { type: "button", class: "small", hidden: true }, "Newest line");
  body.append(h("div", { class: "tail-tools" }, find, found, h("span", { class: "grow" }), newest), note, log);
  let [waiting, frame, dropped, isFollowing] = [[], 0, 0, true];

  const toEnd = () => {
    log.scrollTop = log.scrollHeight;
  };
  const follow = (isOn) => {
    isFollowing = isOn;
    set(newest, "hidden", isOn);
    if (isOn) toEnd();
  };
  // The height of a line is known only when it is drawn: then the end moves, and no person scrolled.
  const watch = new ResizeObserver(() => isFollowing && toEnd());
  // Only a person scrolls up: with a wheel, a finger, a key, or the bar, which a pressed button drags.
  let [isHeld, askedAt] = [false, -Infinity];
  const leave = () => {
    askedAt = performance.now();
    if (log.scrollHeight > log.clientHeight) follow(false);
  };
  log.addEventListener("wheel", (event) => event.deltaY < 0 && leave(), { passive: true });
  log.addEventListener("touchmove", leave, { passive: true });
  log.addEventListener("keydown", (event) => ["ArrowUp", "PageUp", "Home"].includes(event.key) && leave());
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
      count += has;
    }
    write(found, wanted ? plural(count, "line") : "");
    if (isFollowing) toEnd();
  };
  find.addEventListener("input", search);

  const flush = () => {
    frame = 0;
    const lines = waiting.slice(-LINES_SHOWN);
    dropped += waiting.length - lines.length;
    waiting = [];
    const added = lines.map(logLine);
    log.append(...added);
    for (const one of added) watch.observe(one);
    for (; log.childElementCount > LINES_SHOWN; dropped += 1) {
      watch.unobserve(log.firstChild);
      log.firstChild.remove();
    }
    if (find.value) search();
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
  };
}

function isAtEnd(log) {
  return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX;
}

function logLine({ at, source, text }) {
  return h("div", { class: "line", "data-source": line(source, 20) },
    h("time", {}, clockTime(at)), h("span", { class: "source" }, line(source, 20)), h("span", { class: "said" }, plain(text, LINE_SHOWN)));
}
