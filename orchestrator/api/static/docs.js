// Renders /openapi.json; all text is added as text nodes.
import { Dialogs } from "./dialogs.js";
import * as server from "./server.js";

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

// Shows a schema with its references resolved; each reference once per path.
function resolved(schema, schemas, seen = []) {
  if (Array.isArray(schema)) return schema.map((item) => resolved(item, schemas, seen));
  if (schema === null || typeof schema !== "object") return schema;
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return seen.includes(name) ? name : resolved(schemas[name], schemas, [...seen, name]);
  }
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [key, resolved(value, schemas, seen)]));
}

function bodies(content, schemas) {
  return Object.entries(content || {}).flatMap(([media, { schema }]) => [
    element("p", "", element("code", media)),
    element("pre", JSON.stringify(resolved(schema, schemas), null, 2)),
  ]);
}

function operation(method, path, given, schemas) {
  const head = element("summary", "", element("code", `${method.toUpperCase()} ${path}`),
    ` ${given.summary}`);
  const parts = [element("p", given.description || "Requires no key.")];
  for (const parameter of given.parameters) {
    parts.push(element("p", "", element("code", parameter.name), ` (${parameter.in}) `,
      parameter.description || "", element("pre", JSON.stringify(parameter.schema))));
  }
  if (given.requestBody) {
    parts.push(element("h3", "Body"), ...bodies(given.requestBody.content, schemas));
  }
  for (const [status, answer] of Object.entries(given.responses)) {
    parts.push(element("details", "", element("summary", `${status} ${answer.description}`),
      ...bodies(answer.content, schemas)));
  }
  return element("details", "", head, ...parts);
}

async function show() {
  const place = document.getElementById("operations");
  try {
    const { paths, components } = await server.get("/openapi.json");
    place.replaceChildren(...Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, given]) =>
        operation(method, path, given, components.schemas))));
  } catch (error) {
    place.textContent = `The document cannot be read: ${error.message}`;
    if (error.status === 401) new Dialogs(server).key(error.message, server.keepKey, show);
  }
}

show();
