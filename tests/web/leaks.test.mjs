// A client that has been used much is as small as one that has been used little. With the service in memory.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { createSwitchboard } from "./client/switchboard.js";
import { createTestService } from "./client/testing.js";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");

const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;

async function heap() {
  for (let n = 0; n < 3; n++) {
    await new Promise((resolve) => setImmediate(resolve));
    collect();
  }
  return process.memoryUsage().heapUsed;
}

/** In bytes, of a thousand times: a conversation that is left over has more than two thousand each time. */
const LITTLE = 700_000;

/** Does something a thousand times, and looks at what is left over. */
async function leavesNothing(use) {
  // What the runtime keeps for itself of code that runs often is there then.
  await use(1000);
  const before = { heap: await heap(), timers: timers() };
  await use(1000);
  const after = { heap: await heap(), timers: timers() };
  console.log(`heap ${before.heap} to ${after.heap}, timers ${before.timers} to ${after.timers}`);
  assert(after.heap - before.heap < LITTLE, `${after.heap - before.heap} bytes are left over`);
  assert.equal(after.timers, before.timers);
}

let chat;
afterEach(() => chat.stop());

test("a thousand opens, closes and connections later nothing is left over", async () => {
  const service = createTestService();
  service.options("bob");
  chat = createSwitchboard({ ...service.options("alice"), random: () => 0 });
  await chat.start();
  const id = await chat.find("bob");
  const use = async (times) => {
    for (let n = 0; n < times; n++) {
      const [one, two] = await Promise.all([chat.conversation(id), chat.conversation(id)]);
      const offs = [one.subscribe(() => {}), chat.on("message", () => {})];
      one.typing();
      const waiting = new AbortController();
      const given = chat.conversation(id, { signal: waiting.signal }).then((room) => room.release(), () => {});
      waiting.abort();
      await given;
      chat.stop();
      await chat.start();
      offs.forEach((off) => off());
      await Promise.all([one.release(), two.release()]);
    }
  };
  await leavesNothing(use);
  chat.stop();
  assert.equal(timers(), 0, "after a stop no timer runs");
});

test("a thousand connections that break leave nothing over", async () => {
  const service = createTestService();
  service.options("bob");
  chat = createSwitchboard({ ...service.options("alice"), random: () => 0 });
  await chat.start();
  const room = await chat.conversation(await chat.find("bob"));
  const use = async (times) => {
    for (let n = 0; n < times; n++) {
      service.cutOff("alice");
      await new Promise((resolve) => setImmediate(resolve));
      chat.retry();
      while (chat.connection.state !== "online") await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await leavesNothing(use);
  await room.release();
});
