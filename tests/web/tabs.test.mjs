// Tabs that share a connection, each with a client and a leader() of its own, and the service in memory.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { createSwitchboard } from "./client/switchboard.js";
import { leader } from "./client/tabs.js";
import { createTestService } from "./client/testing.js";
import { until } from "./service.mjs";

/** Web Locks, which Node has from 24.5 on: each goes to who asked first, or to who steals it. */
class Locks {
  #held = new Map();
  #waiting = new Map();

  request(name, { steal = false, signal }, work) {
    return new Promise((resolve, reject) => {
      const lock = { work, resolve, reject };
      const queue = this.#waiting.get(name) ?? [];
      this.#waiting.set(name, queue);
      if (signal?.aborted) return reject(signal.reason);
      signal?.addEventListener("abort", () => {
        const at = queue.indexOf(lock);
        if (at !== -1) queue.splice(at, 1), reject(signal.reason);
      });
      if (steal && this.#held.has(name)) {
        this.#held.get(name).reject(new DOMException("it was stolen", "AbortError"));
        this.#held.delete(name);
      }
      if (steal) queue.unshift(lock);
      else queue.push(lock);
      this.#next(name);
    });
  }

  async #next(name) {
    const queue = this.#waiting.get(name);
    if (this.#held.has(name) || queue.length === 0) return;
    const lock = queue.shift();
    this.#held.set(name, lock);
    await Promise.resolve();
    await Promise.resolve(lock.work()).then(lock.resolve, lock.reject);
    if (this.#held.get(name) !== lock) return;
    this.#held.delete(name);
    void this.#next(name);
  }
}
Object.defineProperty(globalThis.navigator, "locks", { value: new Locks(), configurable: true });

const ends = [];
afterEach(async () => {
  for (const end of ends.splice(0)) end();
  await new Promise((resolve) => setTimeout(resolve, 20));
});

/** A tab of a user. */
async function tab(service, user, more = {}) {
  const chat = createSwitchboard({ ...service.options(user), tabs: leader(), random: () => 0, ...more });
  ends.push(() => chat.stop());
  await chat.start();
  return chat;
}

/** Three tabs of Alice, and Bob. */
async function open() {
  const service = createTestService();
  const bob = createSwitchboard(service.options("bob"));
  ends.push(() => bob.stop());
  await bob.start();
  const tabs = [await tab(service, "alice"), await tab(service, "alice"), await tab(service, "alice")];
  const id = await bob.find("alice");
  return { service, bob, tabs, id };
}

const contents = (room) => room.snapshot.messages.map(({ content }) => content);
const connections = (service, user) => service.connectionsOf(user);

test("tabs of a user share a connection, and those of others do not", async () => {
  const { service } = await open();
  assert.equal(connections(service, "alice"), 1);
  await tab(service, "carol");
  assert.deepEqual([connections(service, "alice"), connections(service, "carol")], [1, 1]);
});

test("what one tab does, all show", async () => {
  const { bob, tabs, id } = await open();
  const rooms = await Promise.all(tabs.map((chat) => chat.conversation(id)));
  const ofBob = await bob.conversation(id);
  const sent = await rooms[1].send("from the second");
  await ofBob.send("from Bob");
  await until("all have both", () => rooms.every((room) => contents(room).length === 2));
  await rooms[2].react(sent, "👍");
  await rooms[1].edit(sent, "from the second, edited");
  await until("all show it", () => rooms.every((room) => contents(room)[0] === "from the second, edited" && room.snapshot.messages[0].reactions.length === 1));
  await until("it is unread everywhere", () => tabs.every((chat) => chat.unreadCount === 1));
  await rooms[0].markRead();
  await until("and read everywhere", () => tabs.every((chat) => chat.unreadCount === 0));
});

test("a conversation is left when the last tab has closed it", async () => {
  const { bob, tabs, id } = await open();
  const [one, two] = [await tabs[0].conversation(id), await tabs[1].conversation(id)];
  const ofBob = await bob.conversation(id);
  await one.release();
  await ofBob.send("for the second");
  await until("it has it", () => contents(two).length === 1);
  ofBob.typing();
  await until("typing comes too", () => two.snapshot.typing.length === 1);
  await two.release();
  await ofBob.send("for the list");
  await until("the lists have it", () => tabs.every((chat) => chat.conversations[0].lastSeq === 2 && chat.unreadCount === 2));
});

test("when the leader ends, another tab leads, and nothing is lost", async () => {
  const { service, bob, tabs, id } = await open();
  const rooms = await Promise.all(tabs.map((chat) => chat.conversation(id)));
  const ofBob = await bob.conversation(id);
  for (let n = 0; n < 2; n++) {
    const sending = Promise.all(rooms.slice(n + 1).map((room, at) => room.send(`${n} of ${at}`)));
    // The first that is left leads.
    tabs[n].stop();
    await ofBob.send(`of Bob ${n}`);
    await sending;
    await until("the others are online", () => tabs.slice(n + 1).every((chat) => chat.connection.state === "online"));
    assert.equal(connections(service, "alice"), 1);
  }
  const last = rooms[2];
  await until("it has all", () => contents(last).length === 5 && contents(ofBob).length === 5);
  assert.deepEqual(contents(last), contents(ofBob));
  assert.equal(new Set(contents(last)).size, 5);
  tabs[2].stop();
  await until("none is left", () => connections(service, "alice") === 0);
  bob.stop();
  const timers = process.getActiveResourcesInfo().filter((kind) => kind === "Timeout");
  assert.equal(timers.length, 0, "after a stop no timer runs");
});

test("a connection that breaks is made again once, for all", async () => {
  const { service, tabs } = await open();
  for (let n = 0; n < 5; n++) {
    assert.equal(service.cutOff("alice"), 1);
    await until("all know", () => tabs.every((chat) => chat.connection.state !== "online"));
    tabs.forEach((chat) => chat.retry());
    await until("all are back", () => tabs.every((chat) => chat.connection.state === "online"));
  }
});

test("a leader that is frozen is replaced", async () => {
  const service = createTestService();
  // It holds the lock, and answers nothing.
  let stolen;
  const frozen = navigator.locks.request("switchboard ws://switchboard.test/v1 alice", {}, () => new Promise(() => {}));
  frozen.catch((error) => (stolen = error.name));
  await new Promise((resolve) => setTimeout(resolve, 10));
  const [one, two] = await Promise.all([tab(service, "alice"), tab(service, "alice")]);
  assert.equal(stolen, "AbortError");
  await until("both are online", () => [one, two].every((chat) => chat.connection.state === "online"));
  assert.equal(connections(service, "alice"), 1);
});

test("without Web Locks each tab has a connection of its own", async () => {
  const { locks } = navigator;
  Object.defineProperty(navigator, "locks", { value: undefined, configurable: true });
  const service = createTestService();
  await tab(service, "alice");
  await tab(service, "alice");
  assert.equal(connections(service, "alice"), 2);
  Object.defineProperty(navigator, "locks", { value: locks, configurable: true });
});
