// The client and the real stack, with a TCP proxy between them that freezes, drops and delays.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { createSwitchboard } from "./client/switchboard.js";
import { Proxy } from "./network.mjs";
import { connected, optionsOf, somebody, until, url } from "./service.mjs";

/** Two people, of whom Alice is behind a proxy. */
async function pair(more = {}) {
  const proxy = new Proxy(url);
  const near = await proxy.listen();
  const [a, b] = [somebody("alice"), somebody("bob")];
  const bob = await connected(b);
  const alice = createSwitchboard({ ...optionsOf(a), url: `${near.replace("http", "ws")}/v1`, ...more });
  after(() => (alice.stop(), proxy.close()));
  await alice.start();
  const id = await alice.find(b);
  return { alice, bob, proxy, id, ofAlice: await alice.conversation(id), ofBob: await bob.conversation(id) };
}

const contents = (room) => room.snapshot.messages.map(({ content }) => content);

test("a frozen network shows within the time of a ping and five seconds, and nothing is lost or doubled", async () => {
  const { alice, proxy, ofAlice, ofBob } = await pair({ pingEveryMs: 2000 });
  proxy.freeze();
  const began = Date.now();
  const sending = ofAlice.send("into the ice");
  await ofBob.send("meanwhile");
  await until("it shows", () => alice.connection.state === "reconnecting");
  const took = Date.now() - began;
  assert(took < 2000 + 5000 + 5000, `it took ${took} ms`);
  proxy.drop();
  proxy.thaw();
  await until("she is back", () => alice.connection.state === "online");
  await sending;
  await until("both have both", () => contents(ofAlice).length === 2 && contents(ofBob).length === 2);
  assert.deepEqual(contents(ofAlice), contents(ofBob));
});

test("who comes back to the page knows within five seconds", async () => {
  let look;
  const lifecycle = { isVisible: () => true, subscribe: (listener) => ((look = listener), () => {}) };
  const { alice, proxy } = await pair({ lifecycle });
  proxy.freeze();
  look();
  const began = Date.now();
  await until("it shows", () => alice.connection.state === "reconnecting");
  const took = Date.now() - began;
  assert(took < 10_000, `it took ${took} ms`);
  proxy.drop();
  proxy.thaw();
  await until("she is back", () => alice.connection.state === "online");
});

test("a network that freezes and thaws in time disturbs nobody", async () => {
  const { alice, proxy, ofAlice, ofBob } = await pair();
  proxy.freeze();
  const sending = ofAlice.send("slowly");
  await new Promise((resolve) => setTimeout(resolve, 1500));
  proxy.thaw();
  await sending;
  assert.equal(alice.connection.state, "online");
  await until("it arrives", () => contents(ofBob).length === 1);
});

test("a network that drops everything, again and again, loses nothing", async () => {
  const { proxy, ofAlice, ofBob } = await pair();
  proxy.delay(20);
  const sending = [];
  for (let n = 0; n < 40; n++) {
    sending.push(ofAlice.send(`message ${n}`));
    if (n % 10 === 5) proxy.drop();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await Promise.all(sending);
  const all = Array.from({ length: 40 }, (_, n) => `message ${n}`);
  await until("both have all", () => contents(ofAlice).length === 40 && contents(ofBob).length === 40);
  assert.deepEqual([contents(ofAlice), contents(ofBob)], [all, all]);
});

test("a start through a network that answers nothing rejects", async () => {
  const proxy = new Proxy(url);
  const near = await proxy.listen();
  proxy.freeze();
  const alice = createSwitchboard({ ...optionsOf(somebody("alice")), url: `${near.replace("http", "ws")}/v1` });
  after(() => (alice.stop(), proxy.close()));
  const began = Date.now();
  await assert.rejects(alice.start(), { code: "disconnected" });
  assert(Date.now() - began < 40_000);
});
