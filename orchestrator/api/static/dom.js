// Builds elements and text nodes only, so that no text can become markup.

export const byId = (id) => document.getElementById(id);

/** Make an element. `on*` are listeners; null and false omit an attribute. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else set(element, key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set an attribute if it differs; null and false remove it. */
export function set(element, key, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(key)) element.removeAttribute(key);
    return;
  }
  const text = value === true ? "" : String(value);
  if (element.getAttribute(key) !== text) element.setAttribute(key, text);
}

/** Set an element's text if it differs: an unchanged element causes no layout. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const SVG = "http://www.w3.org/2000/svg";

/** Make an element of a drawing. */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) set(element, key, value);
  element.append(...children);
  return element;
}

export function icon(name) {
  return svg("svg", { class: `icon ${name}`, "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));
}

export function turnIcon(drawing, name) {
  set(drawing, "class", `icon ${name}`);
  set(drawing.firstChild, "href", `#i-${name}`);
}

/** Text in which `words in backquotes` are commands. */
export function withCommands(text) {
  return text.split(/`([^`]{1,200})`/).map((part, index) =>
    index % 2 ? h("code", {}, part) : document.createTextNode(part),
  );
}

/** A bar of parts of a whole, each in percent. */
export function meter(label, value, parts) {
  const bar = h("div", {
    class: "meter", role: "meter", "aria-label": label,
    "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.min(100, Math.round(parts[0] ?? 0)),
    "aria-valuetext": value,
  });
  for (const [index, percent] of parts.entries()) {
    const part = h("i", { class: index ? "more" : percent >= 100 ? "over" : percent >= 80 ? "near" : "used" });
    part.style.width = `${Math.min(100, Math.max(0, percent))}%`;
    bar.append(part);
  }
  return bar;
}

let said = [];
let sayingAt = 0;

/** Announce a text to screen readers, at most once in two seconds. */
export function say(text) {
  said.push(text);
  if (said.length > 1) return;
  setTimeout(() => {
    const [first, ...others] = said;
    said = [];
    sayingAt = Date.now();
    byId("said").textContent = others.length ? `${first} And ${others.length} more changes.` : first;
  }, Math.max(100, sayingAt + 2000 - Date.now()));
}
