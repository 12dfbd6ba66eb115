// The request of an agent: the work items that it was asked for.

import { h, set } from "./dom.js";
import { line, plain, plural } from "./text.js";

const MOST_ITEMS = 100;
const ITEM_SHOWN = 4000;

/** Read and draw the work items of an agent. */
export function askedOf(id, server) {
  const element = h("details", { class: "asked", hidden: true });
  server.get(`/agents/${encodeURIComponent(id)}/request`).then(
    ({ context }) => draw(element, context.workItems),
    (error) => element.append(h("summary", {}, `What it was asked for is not known: ${error.message}`)),
  ).finally(() => set(element, "hidden", false));
  return element;
}

function draw(element, items) {
  const more = items.length > 1 ? `, and ${plural(items.length - 1, "more item")}` : "";
  element.append(
    h("summary", {}, `Asked: ${line(items[0], 120)}${more}`),
    h("ol", {}, items.slice(0, MOST_ITEMS).map((item) => h("li", {}, plain(item, ITEM_SHOWN)))),
  );
}
