// The format of values: ages, numbers, and text that agents wrote.

// Whole CSI and OSC sequences: without its ESC the rest of a sequence would remain visible.
const SEQUENCES = /\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b./gs;
// Characters that a screen interprets or hides: controls, and marks that change the text direction.
const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

/** Remove unsafe characters from untrusted text, and cut it. */
export function plain(value, limit = 8000) {
  const whole = String(value ?? "");
  // Cut before the search, so that its cost is bounded; sequences may need some extra length.
  const text = whole.slice(0, limit * 2).replace(SEQUENCES, "").replace(UNSEEN, "");
  if (text.length <= limit && whole.length <= limit * 2) return text;
  return `${text.slice(0, limit)} … (${count(whole.length)} characters)`;
}

/** The same on one line. */
export function line(value, limit = 300) {
  return plain(value, limit).replace(/\s+/g, " ").trim();
}

export function count(number) {
  return Math.round(number ?? 0).toLocaleString("en-US");
}

export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** Tokens in three digits. */
export function short(number = 0) {
  if (number < 1000) return String(Math.round(number));
  const [value, unit] = number < 999_500 ? [number / 1e3, "k"] : [number / 1e6, "M"];
  return value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0).replace(/\.0+$/, "") + unit;
}

export function money(usd) {
  if (usd === undefined || usd === null) return "";
  return `$${usd > 0 && usd < 0.01 ? usd.toFixed(4) : usd.toFixed(2)}`;
}

export function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h ${String(minutes % 60).padStart(2, "0")}m`;
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

export function clockTime(instant) {
  return instant ? new Date(instant).toLocaleTimeString("en-GB") : "";
}

export function shortId(agentId) {
  return plain(agentId, 128).slice(0, 8);
}

/** The last parts of a repository's address. */
export function repositoryName(address) {
  const parts = line(address).replace(/\.git\/?$/, "").split(/[/:]/).filter(Boolean);
  return parts.slice(-2).join("/");
}
