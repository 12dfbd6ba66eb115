// The client of the API: requests with the key, and event streams that reconnect.

const KEY = "orchestrator-key";
const SILENT_MS = 40_000;
const PAUSES_MS = [500, 1000, 2000, 4000, 8000];

/** Aborted when a read is refused: the streams connect again, and report why. */
let refused = new AbortController();

/** A refusal of the server, with its message. */
export class Problem extends Error {
  constructor(status, document, retryAfterS = 0) {
    super(document.detail || document.title || `The server answers ${status}.`);
    this.status = status;
    this.errors = document.errors ?? [];
    this.retryAfterS = retryAfterS;
  }
}

export function keepKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

function headers(more) {
  const key = sessionStorage.getItem(KEY);
  return key ? { ...more, "X-API-Key": key } : more;
}

async function refusal(answer) {
  const document = await answer.json().catch(() => ({}));
  return new Problem(answer.status, document, Number(answer.headers.get("Retry-After")) || 0);
}

async function ask(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    throw new Error("The server does not answer.", { cause: error });
  }
}

/** Read a document. */
export async function get(path, { text = false } = {}) {
  const answer = await ask(path, { headers: headers({}), cache: "no-store" });
  if (answer.status === 401) {
    // The key has expired or was revoked: a stream that is open would go on.
    refused.abort();
    refused = new AbortController();
  }
  if (!answer.ok) throw await refusal(answer);
  return text ? answer.text() : answer.json();
}

/** Send an action; `more` are further headers. */
export async function post(path, body, more = {}) {
  const answer = await ask(path, {
    method: "POST",
    headers: headers({ "Content-Type": "application/json", ...more }),
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw await refusal(answer);
  return answer.json();
}

/**
 * Follow server-sent events until `signal` aborts or `heard` answers false.
 *
 * EventSource cannot send a key; this function can. After a cut it resumes behind the last id that it
 * passed to `heard`. It calls `state` with "live", with "lost" and the pause (ms), or with "refused"
 * and the Problem (then it waits until `again` resolves). It awaits `prepare` before each connection.
 */
export async function follow(path, { signal, heard, state = () => {}, again = forever, prepare }) {
  const place = { id: "" };
  for (let failures = 0; !signal.aborted; ) {
    const before = place.id;
    try {
      await prepare?.();
      if ((await listen(path, place, signal, heard, () => state("live"))) === false) return;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status < 500) {
        state("refused", error);
        await again();
        failures = 0;
        continue;
      }
    }
    if (signal.aborted) return;
    failures = place.id === before ? failures + 1 : 1;
    const pause = PAUSES_MS[Math.min(failures, PAUSES_MS.length) - 1];
    const wait = pause * (0.75 + Math.random() / 2);
    state("lost", wait);
    await Promise.race([new Promise((wake) => setTimeout(wake, wait)), again()]);
  }
}

const forever = () => new Promise(() => {});

async function listen(path, place, signal, heard, live) {
  const silence = new AbortController();
  const ended = AbortSignal.any([signal, silence.signal, refused.signal]);
  const more = place.id ? { "Last-Event-ID": place.id } : {};
  let timer = setTimeout(() => silence.abort(), SILENT_MS);
  try {
    const answer = await fetch(path, {
      headers: headers({ Accept: "text/event-stream", ...more }), signal: ended, cache: "no-store",
    });
    if (!answer.ok) throw await refusal(answer);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    live();
    let frame = { data: [] };
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return true;
      // A connection without any traffic is dead, whatever the network reports.
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENT_MS);
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const text of lines) {
        if (text !== "") {
          take(frame, text);
          continue;
        }
        const { id, event, data } = frame;
        frame = { data: [] };
        if (data.length && heard(event ?? "message", JSON.parse(data.join("\n")), id) === false) {
          return false;
        }
        if (id !== undefined) place.id = id;
      }
    }
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

function take(frame, text) {
  const colon = text.indexOf(":");
  if (colon === 0) return;
  const name = colon < 0 ? text : text.slice(0, colon);
  const value = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
  if (name === "data") frame.data.push(value);
  else if (name === "id" || name === "event") frame[name] = value;
}
