// NestJS with BullMQ: accept a spawn, and read one job. No body is validated, no state is kept
// beside the job, and no event is sent: it is the least that a service on this stack does.
import "reflect-metadata";
import { randomUUID } from "node:crypto";
import { Body, Controller, Get, Module, NotFoundException, Param, Post } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { Queue } from "bullmq";
import { Redis } from "ioredis";

const { ADAPTER, PORT, VALKEY_DB, VALKEY_PORT } = process.env;
const client = new Redis(Number(VALKEY_PORT), "127.0.0.1", { db: Number(VALKEY_DB) });
const queue = new Queue("spawn", { connection: client });

class Agents {
  async spawn(body) {
    const agentId = randomUUID();
    await queue.add("spawn", body, { jobId: agentId });
    return { agentId, status: "spawning" };
  }

  async status(agentId) {
    const job = await client.hgetall(queue.toKey(agentId));
    if (job.data === undefined) throw new NotFoundException();
    return { agentId, status: "spawning", data: JSON.parse(job.data) };
  }
}

// The decorators of NestJS are functions: called like this they need no compiler.
const method = (name) => Object.getOwnPropertyDescriptor(Agents.prototype, name);
Post("spawn")(Agents.prototype, "spawn", method("spawn"));
Body()(Agents.prototype, "spawn", 0);
Get(":agentId/status")(Agents.prototype, "status", method("status"));
Param("agentId")(Agents.prototype, "status", 0);
Controller("agents")(Agents);

class App {}
Module({ controllers: [Agents] })(App);

let adapter;
if (ADAPTER === "fastify") {
  const { FastifyAdapter } = await import("@nestjs/platform-fastify");
  adapter = new FastifyAdapter();
} else {
  const { ExpressAdapter } = await import("@nestjs/platform-express");
  adapter = new ExpressAdapter();
}
const app = await NestFactory.create(App, adapter, { logger: false });
await app.listen(Number(PORT), "127.0.0.1");
console.log("listening");
