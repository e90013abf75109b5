// A random walk: people on several devices do everything at once, over networks that are bad in every way, with pages that are
// reloaded and crash. Whatever happened, at the end each message is there once, in its sender's order, and all devices show what a
// new one shows. SEEDS says which walks are taken.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { createSwitchboard } from "./client/switchboard.js";
import { Network } from "./network.mjs";
import { connected, cutOff, memory, optionsOf, somebody, summaryOf, undocumented, until } from "./service.mjs";

const SEEDS = (process.env.SEEDS ?? (memory ? "1-20" : "1-2")).split("-").map(Number);
const STEPS = 150;

/** Numbers from 0 to 1 that a seed decides (mulberry32). */
function randoms(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Keeps what a page sends in a place that survives it, and gives it to the page that comes after. */
class Kept {
  /** @type {Map<string, object>} */
  all = new Map();

  async open(_userId, adopt) {
    const left = [...this.all.values()];
    if (left.length > 0) adopt(left);
  }

  async put(outgoing) {
    this.all.set(outgoing.clientMessageId, outgoing);
  }

  async delete(clientMessageId) {
    this.all.delete(clientMessageId);
  }

  close() {}
}

class Device {
  kept = new Kept();
  /** @type {Map<string, import("./client/switchboard.js").Room>} */
  rooms = new Map();

  constructor(user, random) {
    this.user = user;
    this.random = random;
    this.loads();
  }

  /** The page is loaded, maybe after another one that died as it was. */
  loads() {
    this.chat?.stop();
    this.rooms.clear();
    this.network = new Network(this.random);
    const options = { ...this.network.behind(optionsOf(this.user)), outbox: this.kept, pingEveryMs: 500, random: this.random };
    this.chat = createSwitchboard(options);
    chats.add(this.chat);
    this.heard = [];
    this.chat.on("message", ({ conversationId, seq }) => this.heard.push([conversationId, seq]));
    this.chat.start().catch(() => {});
  }

  /** Opens a conversation, without waiting for it. */
  opens(id) {
    const { chat } = this;
    const opened = (room) => {
      if (this.chat !== chat || this.rooms.has(id)) void room.release();
      else this.rooms.set(id, room);
    };
    chat.conversation(id).then(opened, () => {});
  }

  closes(id) {
    void this.rooms.get(id)?.release();
    this.rooms.delete(id);
  }
}

const shown = (room) => room.snapshot.messages.map(({ readAt: _, sender: __, ...message }) => message);

/** The clients that have been started. */
const chats = new Set();
afterEach(() => chats.forEach((chat) => chat.stop()));

async function walk(seed) {
  const random = randoms(seed);
  const below = (n) => Math.floor(random() * n);
  const one = (list) => list[below(list.length)];
  const users = ["alice", "bob", "carol"].map(somebody);
  const makers = await Promise.all(users.map(connected));
  const direct = await makers[0].find(users[1]);
  const group = await makers[0].createGroup({ title: "All", participantIds: users.slice(1) });
  makers.forEach((chat) => chat.stop());
  const devices = [0, 0, 1, 1, 2].map((user) => new Device(users[user], random));
  const mayUse = (device) => (device.user === users[2] ? [group] : [direct, group]);
  devices.forEach((device) => mayUse(device).forEach((id) => device.opens(id)));
  /** What each device has sent to each conversation, in order. @type {Map<string, string[]>} */
  const sent = new Map();
  let count = 0;

  const actions = {
    send: (device) => {
      const id = one(mayUse(device));
      const content = `${++count} of ${devices.indexOf(device)}`;
      const key = `${devices.indexOf(device)} ${id}`;
      sent.set(key, [...(sent.get(key) ?? []), content]);
      device.chat.send(id, content).catch(() => {});
    },
    change: (device) => {
      const room = one([...device.rooms.values()]);
      const message = room && one(room.snapshot.messages);
      if (!message) return;
      const mine = message.senderId === device.user;
      const change = one([
        () => room.react(message, one(["👍", "🎉", "👀"])),
        () => room.unreact(message, one(["👍", "🎉", "👀"])),
        ...(mine ? [() => room.edit(message, `${message.content.split(",")[0]}, edited ${++count}`)] : []),
      ]);
      change().catch(() => {});
    },
    read: (device) => one([...device.rooms.values()])?.markRead().catch(() => {}),
    open: (device) => device.opens(one(mayUse(device))),
    close: (device) => device.closes(one(mayUse(device))),
    type: (device) => one([...device.rooms.values()])?.typing(),
    older: (device) => one([...device.rooms.values()])?.older().catch(() => {}),
    reload: (device) => device.loads(),
    restart: (device) => (device.chat.stop(), device.chat.start().catch(() => {})),
    freeze: (device) => device.network.freeze(),
    thaw: (device) => device.network.thaw(),
    late: (device) => (device.network.latestMs = one([0, 5, 50])),
    cut: (device) => cutOff(device.user),
    look: (device) => device.chat.retry(),
  };
  // Most of what happens is talk.
  const weighted = Object.entries({ send: 12, change: 8, read: 3, open: 3, close: 2, type: 2, older: 1, reload: 1, restart: 1, freeze: 1, thaw: 3, late: 2, cut: 1, look: 1 }).flatMap(([name, times]) => Array(times).fill(name));
  for (let step = 0; step < STEPS; step++) {
    void actions[one(weighted)](one(devices));
    await new Promise((resolve) => setTimeout(resolve, below(15)));
  }

  // All becomes quiet.
  for (const device of devices) {
    device.network.latestMs = 0;
    device.network.thaw();
    device.chat.retry();
  }
  await until("everything is stored", () => devices.every(({ chat }) => chat.connection.state === "online" && chat.unsentCount === 0));
  for (const device of devices) assert.equal(device.kept.all.size, 0, "nothing is kept that is stored");
  for (const device of devices) for (const id of mayUse(device)) device.opens(id);
  await until("all have all open", () => devices.every((device) => device.rooms.size === mayUse(device).length));

  for (const id of [direct, group]) {
    const fresh = await connected(users[0]);
    const room = await fresh.conversation(id);
    while (room.snapshot.hasOlder) await room.older();
    const truth = shown(room);
    assert.deepEqual(truth.map(({ seq }) => seq), truth.map((_, at) => at + 1));
    const contents = truth.map(({ content }) => content.split(",")[0]);
    for (const [key, list] of sent) {
      const [of, where] = key.split(" ");
      if (where === id) assert.deepEqual(contents.filter((content) => content.endsWith(` of ${of}`)), list, "each once, in the order of its device");
    }
    for (const device of devices) {
      const own = device.rooms.get(id);
      if (!own) continue;
      while (own.snapshot.hasOlder) await own.older();
      const same = () => JSON.stringify(shown(own)) === JSON.stringify(truth);
      await until(`device ${devices.indexOf(device)} shows what is so`, same).catch((error) => {
        assert.deepEqual(shown(own), truth, error.message);
      });
      // A read may still be on its way.
      const counted = () => device.chat.conversations.find((one) => one.id === id).unreadCount;
      await until("it counts the same as unread", async () => (await summaryOf(device.user, id)).unreadCount === counted());
    }
    fresh.stop();
  }
  for (const device of devices) {
    const heard = device.heard.map(([id, seq]) => `${id} ${seq}`);
    assert.equal(new Set(heard).size, heard.length, "no message is told twice");
    for (const id of [direct, group]) {
      const seqs = device.heard.filter(([where]) => where === id).map(([, seq]) => seq);
      assert.deepEqual(seqs, [...seqs].sort((a, b) => a - b), "and in order");
    }
    device.chat.stop();
  }
}

for (let seed = SEEDS[0]; seed <= SEEDS.at(-1); seed++) {
  test(`walk ${seed}`, async () => {
    await walk(seed);
    assert.deepEqual(undocumented, []);
  });
}
