// The change of an agent: its files with counts, and its lines with the changed words marked.

import { h } from "./dom.js";
import { line, plain, plural } from "./text.js";

const MOST_LINES = 5000;
const MOST_OPEN = 20;
const LINE_LIMIT = 2000;
// Words are searched in lines of this length, with this many comparisons in a line and in a change:
// the page answers at once, whatever the change contains.
const WORDS_LIMIT = 1000;
const LINE_WORK = 40_000;
const WORK = 2_000_000;
const MOST_MARKS = 40;
// Less than this in common: two lines, not one that was changed.
const LEAST_COMMON = 0.3;
const HUNK = /^@@ -\d{1,9}(?:,(\d{1,9}))? \+\d{1,9}(?:,(\d{1,9}))? @@/;

/**
 * Read a patch: [{name, added, removed, lines: [{kind, text}]}], and how many lines are left. Pure.
 *
 * The counts of a hunk say where it ends, so that a changed line `++ b/x` is no header of a file.
 */
export function readPatch(text, most = MOST_LINES) {
  const all = text.replace(/\n$/, "").split("\n");
  const files = [];
  let [file, old, fresh] = [null, 0, 0];
  for (const one of all.slice(0, most)) {
    let kind = "file";
    // No line of a hunk begins otherwise, whatever its counts say.
    if (one && !"+-\\ ".includes(one[0])) [old, fresh] = [0, 0];
    if (old > 0 || fresh > 0) {
      kind = { "+": "add", "-": "del", "\\": "note" }[one[0]] ?? "";
      if (kind === "add") [file.added, fresh] = [file.added + 1, fresh - 1];
      else if (kind === "del") [file.removed, old] = [file.removed + 1, old - 1];
      else if (kind === "") [old, fresh] = [old - 1, fresh - 1];
    } else if (file && HUNK.test(one)) {
      const [, before = "1", after = "1"] = one.match(HUNK);
      [kind, old, fresh] = ["hunk", Number(before), Number(after)];
    } else if (one[0] === "\\") {
      kind = "note";
    } else if (!file || one.startsWith("diff ")) {
      file = { name: one.replace(/^diff (--git )?/, ""), added: 0, removed: 0, lines: [] };
      files.push(file);
    } else if (/^(---|\+\+\+) /.test(one) && !one.endsWith(" /dev/null")) {
      file.name = one.slice(4).replace(/^("?)[ab]\//, "$1").replace(/\t$/, "");
    }
    file?.lines.push({ kind, text: one });
  }
  return { files, rest: Math.max(0, all.length - most) };
}

/** The parts of two lines as [text, isChanged], or null where too little or too much is in common. */
export function changedWords(before, after, work = { left: WORK }) {
  if (before.length > WORDS_LIMIT || after.length > WORDS_LIMIT || work.left <= 0) return null;
  const [one, other] = [wordsOf(before), wordsOf(after)];
  let [start, end] = [0, 0];
  const least = Math.min(one.length, other.length);
  while (start < least && one[start] === other[start]) start += 1;
  while (end < least - start && one.at(-1 - end) === other.at(-1 - end)) end += 1;
  const [a, b] = [one.slice(start, one.length - end), other.slice(start, other.length - end)];
  const cost = a.length * b.length;
  work.left -= cost + one.length + other.length;
  const kept = cost <= LINE_WORK && work.left > 0 ? common(a, b) : { a: new Set(), b: new Set() };
  const parts = [parted(one, start, end, kept.a), parted(other, start, end, kept.b)];
  const same = parts[0].filter(([, isChanged]) => !isChanged).map(([text]) => text.trim()).join("").length;
  return same < LEAST_COMMON * Math.max(before.trim().length, after.trim().length) ? null : parts;
}

const wordsOf = (text) => text.match(/[\p{L}\p{N}_]+|\s+|[^]/gu) ?? [];

// The longest common subsequence of two short lists of words, as their indexes in each.
function common(a, b) {
  const width = b.length + 1;
  const length = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      length[i * width + j] = a[i] === b[j] ? length[(i + 1) * width + j + 1] + 1
        : Math.max(length[(i + 1) * width + j], length[i * width + j + 1]);
    }
  }
  const found = { a: new Set(), b: new Set() };
  for (let [i, j] = [0, 0]; i < a.length && j < b.length;) {
    if (a[i] === b[j]) {
      found.a.add(i);
      found.b.add(j);
      [i, j] = [i + 1, j + 1];
    } else if (length[(i + 1) * width + j] >= length[i * width + j + 1]) i += 1;
    else j += 1;
  }
  return found;
}

function parted(words, start, end, kept) {
  const parts = [];
  for (const [at, word] of words.entries()) {
    const isInside = at >= start && at < words.length - end;
    // A space between two changed words is marked with them.
    const isGap = !word.trim() && parts.at(-1)?.[1] && isInside && !kept.has(at + 1 - start) && at + 1 < words.length - end;
    const isChanged = isGap || (isInside && !kept.has(at - start));
    if (parts.length && parts.at(-1)[1] === isChanged) parts.at(-1)[0] += word;
    else parts.push([word, isChanged]);
  }
  if (parts.length <= MOST_MARKS) return parts;
  const middle = words.slice(start, words.length - end).join("");
  return [[words.slice(0, start).join(""), false], [middle, true], [words.slice(words.length - end).join(""), false]];
}

/** Draw a patch; its text is never markup. */
export function drawPatch(text) {
  const { files, rest } = readPatch(text);
  const work = { left: WORK };
  const [added, removed] = [sum(files, "added"), sum(files, "removed")];
  return [
    h("div", { class: "diff", tabindex: 0, role: "region", "aria-label": "Change" },
      h("p", { class: "diff-sum" }, `${plural(files.length, "file")}, `, counts(added, removed)),
      files.map((file, at) => h("details", { open: at < MOST_OPEN },
        h("summary", {}, h("code", {}, line(file.name, 300)), " ", counts(file.added, file.removed)),
        h("pre", {}, drawLines(file.lines, work))))),
    rest > 0 ? h("p", { class: "note" }, `${plural(rest, "more line")}: orch diff shows them all.`) : null,
  ].filter(Boolean);
}

const sum = (files, name) => files.reduce((total, file) => total + file[name], 0);

function counts(added, removed) {
  return h("span", { class: "counts" }, h("span", { class: "good" }, `+${added}`), " ", h("span", { class: "bad" }, `−${removed}`));
}

// Lines that were removed and lines that replace them are compared one by one.
function drawLines(lines, work) {
  const shown = lines.map(({ text }) => plain(text, LINE_LIMIT));
  const parts = new Map();
  for (let at = 0; at < lines.length; at += 1) {
    const removed = run(lines, at, "del");
    // Between them may stand that the file had no newline at its end.
    const start = at + removed + (removed ? run(lines, at + removed, "note") : 0);
    const added = run(lines, start, "add");
    for (let pair = 0; pair < Math.min(removed, added); pair += 1) {
      const [before, after] = [at + pair, start + pair];
      const found = changedWords(shown[before].slice(1), shown[after].slice(1), work);
      if (found) [before, after].forEach((index, side) => parts.set(index, found[side]));
    }
    at = Math.max(at, start + added - 1);
  }
  return lines.map(({ kind }, at) => h("span", { class: `d ${kind}` },
    parts.has(at) ? [shown[at][0], parts.get(at).map(([text, isChanged]) => (isChanged ? h("mark", {}, text) : text))].flat() : shown[at], "\n"));
}

function run(lines, from, kind) {
  let length = 0;
  while (lines[from + length]?.kind === kind) length += 1;
  return length;
}
