// What the address says of the page: the open agent, the filter, the search, the order, the selection.

import { FILTERS, SORTS } from "./fleet.js";

const AGENT = /^\/agents\/([A-Za-z0-9][A-Za-z0-9_-]{0,127})(?:\/([a-z]+))?$/;
const ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/;

/** Read the view of an address; what it does not say, or says wrongly, is the default. */
export function readAddress(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?");
  const [, id = null, tab = "output"] = path.match(AGENT) ?? [];
  const given = new URLSearchParams(query);
  const show = given.get("show");
  const sort = given.get("sort");
  return {
    id, tab,
    show: Object.hasOwn(FILTERS, show) ? show : "all",
    search: given.get("q") ?? "",
    sort: Object.hasOwn(SORTS, sort) ? sort : "attention",
    selected: (given.get("select") ?? "").split(",").filter((name) => ID.test(name)),
  };
}

/** Return the address of a view; a default leaves nothing in it. */
export function addressOf({ id, tab, show, search, sort, selected }) {
  const query = new URLSearchParams();
  if (show !== "all") query.set("show", show);
  if (search) query.set("q", search);
  if (sort !== "attention") query.set("sort", sort);
  if (selected.size) query.set("select", [...selected].join(","));
  const path = id === null ? "#/" : `#/agents/${encodeURIComponent(id)}/${tab}`;
  const text = query.toString().replaceAll("%2C", ",");
  return text ? `${path}?${text}` : path;
}
