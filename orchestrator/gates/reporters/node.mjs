// Records the outcome of each test of node:test. The processes that tests start record nothing.
import { appendFileSync } from "node:fs";

const file = process.env.ORCH_OUTCOMES;
delete process.env.ORCH_OUTCOMES;
const add = (record) => file && appendFileSync(file, `${JSON.stringify(record)}\n`);

export default async function* outcomes(source) {
  add({ start: true });
  for await (const { type, data } of source) {
    const isTest = type === "test:pass" || type === "test:fail";
    if (isTest && data.details?.type !== "suite") {
      const isSkipped = data.skip !== undefined || data.todo !== undefined;
      const ended = type === "test:pass" ? "passed" : "failed";
      add({ test: data.name, outcome: isSkipped ? "skipped" : ended });
    }
  }
  add({ end: true });
}
