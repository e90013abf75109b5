// The client with a service that the tests play, and with time that they let pass.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { SwitchboardError, createSwitchboard } from "./client/switchboard.js";

const MINUTE = 60_000;

/** Lets everything happen that needs no time. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

async function pass(ms) {
  mock.timers.tick(ms);
  for (let i = 0; i < 5; i++) await settle();
}

/** A socket whose other end is the test. */
class Socket {
  static all = [];
  static refuse = false;
  readyState = 0;
  sent = [];
  closed = false;

  constructor(url) {
    this.url = new URL(url);
    Socket.all.push(this);
    setImmediate(() => {
      // Node 22 fires no close when a handshake fails.
      if (Socket.refuse) return Socket.refuse === "with an error" ? this.onerror?.() : this.onclose?.();
      this.readyState = 1;
      this.onopen?.();
    });
  }

  send(text) {
    const frame = JSON.parse(text);
    this.sent.push(frame);
    this.answer?.(frame);
    defaults(this, frame);
  }

  /** The service says something. */
  says(frame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  /** The connection breaks. */
  breaks() {
    this.readyState = 3;
    this.onclose?.();
  }

  close() {
    this.closed = true;
    this.readyState = 2;
  }

  frames(action) {
    return this.sent.filter((frame) => frame.action === action);
  }
}

/** What the service answers unless a test does. */
function defaults(socket, { action, id, conversationId }) {
  if (action === "join_conversation") {
    const lastSeq = stored.at(-1)?.seq ?? 0;
    const error = joinError[conversationId];
    const joined = { type: "joined_conversation", id, data: joinAnswer ?? { conversationId, lastSeq, lastChange, onlineUserIds: [] } };
    setImmediate(() => socket.says(error ? { type: "error", id, error } : joined));
  }
  if (action === "leave_conversation") {
    setImmediate(() => socket.says({ type: "left_conversation", id, data: { conversationId } }));
  }
  if (action === "ping" && !silent) {
    const pong = { type: "pong", id, data: { serverTime: "", tokenExpiresAt: "", conversations: heads } };
    setImmediate(() => socket.says(pongError ? { type: "error", id, error: pongError } : pong));
  }
}

const alice = { id: "alice", name: "Alice", displayName: "Alice", avatarUrl: null };
const bob = { id: "bob", name: "Bob", displayName: "Bob", avatarUrl: null };

let refusal, firstSeq, lastChange, joinAnswer, stored, summaries, requests, tokens, silent, chat, hold, heads, joinError, pongError;

/** A stored message. */
function message(seq, sender = bob, more = {}) {
  const time = `2026-11-22T12:00:${String(seq % 60).padStart(2, "0")}.000Z`;
  return {
    id: `m${seq}`,
    conversationId: "c",
    seq,
    senderId: sender.id,
    sender,
    content: `message ${seq}`,
    clientMessageId: null,
    createdAt: time,
    readAt: null,
    replyTo: null,
    metadata: null,
    reactions: [],
    editedAt: null,
    deletedAt: null,
    change: null,
    ...more,
  };
}

function summary(more = {}) {
  const otherUser = { ...bob, online: false, lastSeenAt: null };
  const direct = { kind: "direct", title: null, avatarUrl: null, role: "member", participantCount: 2, otherUser };
  const none = { lastMessage: null, lastMessageAt: null, firstSeq: 1, lastSeq: 0, lastChange: 0, unreadCount: 0 };
  return { id: "c", ...direct, ...none, ...more };
}

async function serve(url, { headers }) {
  const { pathname, searchParams } = new URL(url);
  requests.push(pathname + (searchParams.size ? `?${searchParams}` : ""));
  assert(headers.authorization.startsWith("Bearer "));
  const [listed, read] = [summaries, lastChange];
  const of = [...stored];
  await hold;
  if (refusal) return { ok: false, status: refusal.status, json: async () => refusal.body };
  const respond = (body) => ({ ok: true, status: 200, json: async () => body });
  if (pathname.endsWith("/messages")) {
    const page = (messages, hasMore) => respond({ messages, hasMore, firstSeq, lastChange: read });
    const seen = of.filter(({ seq }) => seq >= firstSeq);
    // A seq, or the id of a message.
    const place = (name) => Number(searchParams.get(name).replace("m", ""));
    const limit = Number(searchParams.get("limit") ?? 100);
    assert.equal(searchParams.get("markRead"), "false");
    if (searchParams.has("after")) return page(seen.filter(({ seq }) => seq > place("after")).slice(0, limit), false);
    if (searchParams.has("before")) return page(seen.filter(({ seq }) => seq < place("before")).slice(-limit), false);
    return page(seen.slice(-3), seen.length > 3);
  }
  if (pathname.endsWith("/changes")) {
    const after = Number(searchParams.get("after"));
    const changed = of.filter(({ change }) => change > after).sort((a, b) => a.change - b.change);
    const messages = changed.slice(0, 2);
    const hasMore = changed.length > 2;
    return respond({ conversation: summary({ lastChange: read }), messages, hasMore, lastChange: hasMore ? messages[1].change : read });
  }
  const one = /^\/api\/conversations\/([^/]+)$/.exec(pathname);
  if (one) return respond(listed.find(({ id }) => id === one[1]));
  return respond({ conversations: listed, nextCursor: null });
}

function tokenUntil(expiresAt) {
  const claims = Buffer.from(JSON.stringify({ sub: "alice", exp: expiresAt / 1000 })).toString("base64url");
  return `header.${claims}.signature-${tokens++}`;
}

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.parse("2026-11-22T12:00:00Z") });
  Socket.all = [];
  Socket.refuse = false;
  stored = [];
  firstSeq = 1;
  lastChange = 0;
  summaries = [summary()];
  requests = [];
  tokens = 0;
  silent = false;
  refusal = undefined;
  hold = undefined;
  heads = [];
  joinError = {};
  joinAnswer = undefined;
  pongError = undefined;
  chat = make();
});

function make(more = {}) {
  const token = () => tokenUntil(Date.now() + 24 * 60 * MINUTE);
  return createSwitchboard({ url: "ws://service/v1", token, WebSocket: Socket, fetch: serve, random: () => 1, ...more });
}

afterEach(async () => {
  chat.stop();
  // What ends now clears timers of this test, which the next one does not know.
  for (let i = 0; i < 5; i++) await settle();
  mock.timers.reset();
});

const latest = () => Socket.all.at(-1);

test("frames have ids, and answers find them in any order", async () => {
  await chat.start();
  const first = chat.send("c", "one");
  const second = chat.send("d", "two");
  const [one, two] = latest().frames("send_message");
  assert.notEqual(one.id, two.id);
  latest().says({ type: "new_message", id: two.id, data: message(2, alice, { clientMessageId: two.clientMessageId }) });
  latest().says({ type: "new_message", id: one.id, data: message(1, alice, { clientMessageId: one.clientMessageId }) });
  assert.equal((await first).seq, 1);
  assert.equal((await second).seq, 2);
  assert.equal(chat.unsentCount, 0);
});

test("messages come in order, each once, and gaps are filled", async () => {
  const heard = [];
  chat.on("message", (detail) => heard.push(detail.seq));
  stored = [message(1)];
  await chat.start();
  const conversation = await chat.conversation("c");
  assert.deepEqual(conversation.snapshot.messages.map(({ seq }) => seq), [1]);
  latest().says({ type: "new_message", data: message(1) });
  latest().says({ type: "new_message", data: message(2) });
  latest().says({ type: "new_message", data: message(2) });
  assert.deepEqual(heard, [2]);
  // Of 3 and 4 nothing is heard before 5.
  stored = [1, 2, 3, 4, 5].map((seq) => message(seq));
  latest().says({ type: "new_message", data: message(5) });
  assert.deepEqual(heard, [2], "not before those between");
  await settle();
  await settle();
  assert.deepEqual(heard, [2, 3, 4, 5]);
  assert(requests.includes("/api/conversations/c/messages?after=2&limit=100&markRead=false"));
  assert.deepEqual(conversation.snapshot.messages.map(({ seq }) => seq), [1, 2, 3, 4, 5]);
});

test("what came between two connections is fetched", async () => {
  await chat.start();
  const conversation = await chat.conversation("c");
  stored = [message(1), message(2)];
  latest().breaks();
  await pass(1000);
  assert.equal(Socket.all.length, 2);
  assert.deepEqual(latest().frames("join_conversation").map(({ conversationId }) => conversationId), ["c"]);
  assert.deepEqual(conversation.snapshot.messages.map(({ seq }) => seq), [1, 2]);
});

test("older messages are put before the others", async () => {
  stored = [1, 2, 3, 4, 5].map((seq) => message(seq));
  await chat.start();
  const conversation = await chat.conversation("c");
  assert.deepEqual([conversation.snapshot.messages.length, conversation.snapshot.hasOlder], [3, true]);
  await Promise.all([conversation.older(), conversation.older()]);
  assert.deepEqual(conversation.snapshot.messages.map(({ seq }) => seq), [1, 2, 3, 4, 5]);
  assert.equal(conversation.snapshot.hasOlder, false);
});

test("it reconnects later and later, but not all at the same time", async () => {
  await chat.start();
  Socket.refuse = true;
  latest().breaks();
  await pass(0);
  // With a random number of 1 the delays are the longest: twice as long each time, 30 seconds at most.
  for (const delay of [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]) {
    const before = Socket.all.length;
    await pass(delay - 1);
    assert.equal(Socket.all.length, before, `not before ${delay} ms`);
    await pass(1);
    assert.equal(Socket.all.length, before + 1, `after ${delay} ms`);
    assert.equal(chat.connection.state, "reconnecting");
  }
  Socket.refuse = false;
  chat.retry();
  await pass(0);
  assert.equal(chat.connection.state, "online");
});

test("what is not answered is sent again with the same name", async () => {
  await chat.start();
  const sent = chat.send("c", "hello");
  const [first] = latest().frames("send_message");
  latest().breaks();
  const later = chat.send("c", "and more");
  await pass(1000);
  const stores = async (seq) => {
    const { id, clientMessageId } = latest().frames("send_message").at(-1);
    latest().says({ type: "new_message", id, data: message(seq, alice, { clientMessageId }) });
    await settle();
  };
  assert.equal(latest().frames("send_message")[0].clientMessageId, first.clientMessageId);
  await stores(1);
  await stores(2);
  assert.deepEqual(latest().frames("send_message").map(({ content }) => content), ["hello", "and more"]);
  assert.deepEqual([(await sent).seq, (await later).seq], [1, 2]);
  assert.equal(chat.unsentCount, 0);
});

test("messages are stored in the order in which they were written", async () => {
  await chat.start();
  const sent = ["one", "two", "three"].map((content) => chat.send("c", content));
  for (const [at, content] of ["one", "two", "three"].entries()) {
    const frames = latest().frames("send_message");
    assert.deepEqual([frames.length, frames.at(-1).content], [at + 1, content], "not before the one before is stored");
    const { id, clientMessageId } = frames.at(-1);
    latest().says({ type: "new_message", id, data: message(at + 1, alice, { clientMessageId }) });
    await settle();
  }
  assert.deepEqual((await Promise.all(sent)).map(({ seq }) => seq), [1, 2, 3]);
});

test("what will never be stored has failed, and can be tried again or given up", async () => {
  await chat.start();
  const sent = chat.send("c", "");
  const [{ id, clientMessageId }] = latest().frames("send_message");
  const error = { code: "invalid_request", message: "content: must not be empty", retryable: false };
  latest().says({ type: "error", id, error });
  await assert.rejects(sent, { code: "invalid_request", message: error.message });
  assert.equal(chat.outgoing[0].state, "failed");
  const conversation = await chat.conversation("c");
  conversation.resend(clientMessageId);
  await settle();
  assert.equal(latest().frames("send_message").length, 2);
  latest().says({ type: "error", id: latest().frames("send_message")[1].id, error });
  await settle();
  conversation.discard(clientMessageId);
  assert.equal(chat.unsentCount, 0);
});

test("what may be stored later is sent when the service says", async () => {
  await chat.start();
  void chat.send("c", "hello");
  const [{ id }] = latest().frames("send_message");
  latest().says({ type: "error", id, error: { code: "rate_limited", message: "", retryable: true, retryAfterMs: 3000 } });
  await settle();
  await pass(2999);
  assert.equal(latest().frames("send_message").length, 1);
  await pass(1);
  assert.equal(latest().frames("send_message").length, 2);
});

test("a connection on which a frame is not answered is dead, and the frame is sent again", async () => {
  await chat.start();
  const [first] = Socket.all;
  void chat.send("c", "hello");
  await pass(25_000);
  assert.equal(first.closed, true);
  await pass(1000);
  assert.equal(Socket.all.length, 2);
  const [[before], [after]] = Socket.all.map((socket) => socket.frames("send_message"));
  assert.equal(before.clientMessageId, after.clientMessageId);
});

test("a connection that breaks while it is brought up to date is none", async () => {
  let release;
  hold = new Promise((resolve) => (release = resolve));
  const starting = chat.start();
  await settle();
  await settle();
  latest().breaks();
  release();
  hold = undefined;
  await settle();
  assert.notEqual(chat.connection.state, "online");
  await pass(1000);
  await starting;
  assert.deepEqual([Socket.all.length, chat.connection.state], [2, "online"]);
});

test("a stop while it is brought up to date is one", async () => {
  let release;
  hold = new Promise((resolve) => (release = resolve));
  const starting = chat.start();
  await settle();
  await settle();
  chat.stop();
  await assert.rejects(starting, { code: "stopped" });
  release();
  hold = undefined;
  await settle();
  await pass(MINUTE);
  assert.deepEqual([Socket.all.length, latest().closed, chat.connection.state], [1, true, "idle"]);
});

test("a conversation that cannot be joined does not keep the others away", async () => {
  const problems = [];
  chat.on("problem", (detail) => problems.push(detail.code));
  await chat.start();
  const error = { code: "forbidden", message: "", retryable: false };
  joinError = { d: error };
  await assert.rejects(chat.conversation("d"), { code: "forbidden" });
  await chat.conversation("c");
  latest().breaks();
  await pass(1000);
  assert.deepEqual(latest().frames("join_conversation").map(({ conversationId }) => conversationId), ["c"]);
  assert.equal(chat.connection.state, "online");
  assert(problems.includes("forbidden"));
});

test("a conversation that is opened while the connection breaks is joined by the next one", async () => {
  stored = [message(1)];
  await chat.start();
  joinError = { c: { code: "unavailable", message: "", retryable: true } };
  const opening = chat.conversation("c");
  await settle();
  await settle();
  joinError = {};
  await pass(1000);
  const conversation = await opening;
  assert.deepEqual([chat.connection.state, conversation.snapshot.messages.length], ["online", 1]);
});

test("when the network has gone it is noticed at once", async () => {
  await chat.start();
  silent = true;
  chat.retry();
  await pass(4999);
  assert.equal(chat.connection.state, "online");
  await pass(1);
  assert.deepEqual([latest().closed, chat.connection.state], [true, "reconnecting"]);
});

test("an error that answers a ping says that the connection is alive", async () => {
  await chat.start();
  pongError = { code: "unavailable", message: "", retryable: true };
  for (let minute = 0; minute < 5; minute++) await pass(MINUTE);
  assert.deepEqual([Socket.all.length, latest().closed, chat.connection.state], [1, false, "online"]);
});

test("a push that was lost is found by the next ping", async () => {
  await chat.start();
  const conversation = await chat.conversation("c");
  stored = [message(1)];
  heads = [{ conversationId: "c", lastSeq: 1, lastChange: 0 }];
  summaries = [summary({ lastMessage: message(1), lastMessageAt: message(1).createdAt, lastSeq: 1, unreadCount: 1 })];
  for (let minute = 0; minute < 4; minute++) await pass(MINUTE);
  assert.deepEqual([conversation.snapshot.messages.length, chat.conversations[0].lastSeq], [1, 1]);
});

test("a handshake that is refused is tried again with a new token", async () => {
  Socket.refuse = true;
  const starting = chat.start();
  await pass(0);
  Socket.refuse = false;
  await pass(1000);
  await starting;
  assert.deepEqual(
    Socket.all.map(({ url }) => url.searchParams.get("token").split(".")[2]),
    ["signature-0", "signature-1"],
  );
});

test("a connection that does not last is not made again at once", async () => {
  await chat.start();
  for (const delay of [500, 1000, 2000]) {
    const before = Socket.all.length;
    latest().breaks();
    await pass(delay - 1);
    assert.equal(Socket.all.length, before);
    await pass(1);
    assert.equal(Socket.all.length, before + 1);
  }
  await pass(30_000);
  latest().breaks();
  await pass(500);
  assert.equal(Socket.all.length, 5, "one that has lasted is");
});

test("the first messages of a conversation come once in whatever order", async () => {
  const heard = [];
  chat.on("message", (detail) => heard.push(detail.seq));
  await chat.start();
  const conversation = await chat.conversation("c");
  let release;
  hold = new Promise((resolve) => (release = resolve));
  stored = [message(1), message(2)];
  latest().says({ type: "new_message", data: message(2) });
  await settle();
  latest().says({ type: "new_message", data: message(1) });
  release();
  hold = undefined;
  await settle();
  await settle();
  assert.deepEqual(heard, [1, 2]);
  assert.deepEqual(conversation.snapshot.messages.map(({ seq }) => seq), [1, 2]);
});

test("word of a read may overtake the message", async () => {
  await chat.start();
  const conversation = await chat.conversation("c");
  const readAt = "2026-11-22T12:01:00.000Z";
  latest().says({ type: "messages_read", data: { conversationId: "c", readerId: "bob", upToSeq: 1, readAt } });
  latest().says({ type: "new_message", data: message(1, alice) });
  assert.equal(conversation.snapshot.messages[0].readAt, readAt);
  // And so may that of another device of one's own.
  latest().says({ type: "messages_read", data: { conversationId: "c", readerId: "alice", upToSeq: 2, readAt } });
  latest().says({ type: "new_message", data: message(2) });
  assert.equal(chat.unreadCount, 0);
});

test("a connection that comes back marks nothing as read", async () => {
  stored = [message(1)];
  await chat.start();
  await chat.conversation("c");
  const fetches = () => requests.filter((path) => path.includes("/messages")).length;
  assert.equal(fetches(), 1);
  latest().breaks();
  await pass(1000);
  assert.deepEqual([chat.connection.state, fetches()], ["online", 1], "nothing was missing, so nothing was fetched");
});

test("presence begins anew with a new connection", async () => {
  await chat.start();
  latest().says({ type: "user_online", data: { userId: "bob", version: 40 } });
  latest().breaks();
  await pass(1000);
  assert.equal(chat.conversations[0].otherUser.online, false, "as it is listed");
  latest().says({ type: "user_online", data: { userId: "bob", version: 1 } });
  assert.equal(chat.conversations[0].otherUser.online, true);
});

test("a conversation without messages is as new as itself", async () => {
  const old = "0197f1c0-0000-7000-8000-000000000000";
  const young = "0198f1c0-0000-7000-8000-000000000000";
  summaries = [summary({ id: old }), summary({ id: young })];
  await chat.start();
  assert.deepEqual(chat.conversations.map(({ id }) => id), [young, old]);
});

test("the next connection is open before the two hours of this one are over", async () => {
  await chat.start();
  await chat.conversation("c");
  const [first] = Socket.all;
  for (let minute = 0; minute < 114; minute++) await pass(MINUTE);
  assert.equal(Socket.all.length, 1);
  await pass(MINUTE);
  assert.equal(Socket.all.length, 2);
  assert.deepEqual([first.closed, latest().frames("join_conversation").length, chat.connection.state], [true, 1, "online"]);
});

test("an answer on the connection before still counts", async () => {
  await chat.start();
  const [first] = Socket.all;
  for (let minute = 0; minute < 114; minute++) await pass(MINUTE);
  await pass(MINUTE - 10_000);
  const sent = chat.send("c", "just before");
  const [{ id, clientMessageId }] = first.frames("send_message");
  await pass(10_000);
  assert.deepEqual([Socket.all.length, first.closed], [2, false], "it waits for the answer");
  first.says({ type: "new_message", id, data: message(1, alice, { clientMessageId }) });
  assert.equal((await sent).seq, 1);
  await pass(30_000);
  assert.equal(first.closed, true);
});

test("a new token is asked for before the old one expires", async () => {
  chat = createSwitchboard({
    url: "ws://service/v1",
    api: "http://service",
    token: async () => tokenUntil(Date.now() + 10 * MINUTE),
    WebSocket: Socket,
    fetch: serve,
  });
  await chat.start();
  assert.equal(chat.userId, "alice");
  for (let minute = 0; minute < 9; minute++) await pass(MINUTE);
  assert.deepEqual(
    Socket.all.map(({ url }) => url.searchParams.get("token").split(".")[2]),
    ["signature-0", "signature-1"],
  );
  assert.equal(chat.connection.state, "online");
});

test("a token that has expired all the same is replaced", async () => {
  await chat.start();
  void chat.send("c", "hello");
  const [{ id }] = latest().frames("send_message");
  latest().says({ type: "error", id, error: { code: "token_expired", message: "", retryable: false } });
  latest().breaks();
  await pass(1000);
  assert.equal(Socket.all.length, 2);
  assert.equal(latest().url.searchParams.get("token").split(".")[2], "signature-1");
  assert.equal(latest().frames("send_message").length, 1, "and the message is sent again");
});

test("while somebody looks, a connection on which nothing comes is tried after 30 seconds", async () => {
  await chat.start();
  const [first] = Socket.all;
  for (let n = 0; n < 9; n++) await pass(10_000);
  assert.equal(first.frames("ping").length, 3);
  // What comes shows that it is alive.
  for (let n = 0; n < 12; n++) {
    await pass(10_000);
    latest().says({ type: "user_online", data: { userId: "bob", version: n } });
  }
  assert.equal(first.frames("ping").length, 3);
  silent = true;
  await pass(30_000);
  assert.deepEqual([first.frames("ping").length, chat.connection.state], [4, "online"]);
  await pass(5000);
  assert.deepEqual([first.closed, chat.connection.state], [true, "reconnecting"]);
  await pass(1000);
  assert.deepEqual([Socket.all.length, chat.connection.state], [2, "online"]);
});

test("a connection on which much comes renews its lease all the same", async () => {
  await chat.start();
  const [first] = Socket.all;
  for (let n = 0; n < 48; n++) {
    await pass(10_000);
    latest().says({ type: "user_online", data: { userId: "bob", version: n } });
  }
  assert.equal(first.frames("ping").length, 2);
});

test("while nobody looks it pings every four minutes, and looks at once when somebody does", async () => {
  let look;
  let isVisible = false;
  const unsubscribe = mock.fn();
  chat = make({ lifecycle: { isVisible: () => isVisible, subscribe: (listener) => ((look = listener), unsubscribe) } });
  await chat.start();
  const [first] = Socket.all;
  for (let n = 0; n < 48; n++) await pass(10_000);
  assert.equal(first.frames("ping").length, 2);
  silent = true;
  await pass(60_000);
  assert.equal(first.frames("ping").length, 2);
  isVisible = true;
  look();
  assert.equal(first.frames("ping").length, 3);
  await pass(5000);
  assert.equal(chat.connection.state, "reconnecting");
  chat.stop();
  assert.equal(unsubscribe.mock.callCount(), 1);
});

test("presence is as the highest version says", async () => {
  const heard = [];
  chat.on("presence", (detail) => heard.push(detail.online));
  await chat.start();
  const online = () => chat.conversations[0].otherUser.online;
  latest().says({ type: "user_online", data: { userId: "bob", version: 3 } });
  assert.equal(online(), true);
  latest().says({ type: "user_offline", data: { userId: "bob", version: 2, lastSeenAt: "2026-11-22T11:00:00.000Z" } });
  assert.equal(online(), true, "that was before");
  latest().says({ type: "user_offline", data: { userId: "bob", version: 4, lastSeenAt: "2026-11-22T12:00:00.000Z" } });
  assert.equal(online(), false);
  assert.equal(chat.conversations[0].otherUser.lastSeenAt, "2026-11-22T12:00:00.000Z");
  assert.deepEqual(heard, [true, false]);
});

test("who types stops when they say so, when they send, or after a while", async () => {
  const heard = [];
  chat.on("typing", (detail) => heard.push(detail.typing));
  await chat.start();
  const who = { userId: "bob", conversationId: "c" };
  const types = () => latest().says({ type: "user_typing", data: { ...who, expiresInMs: 6000 } });
  types();
  await pass(4000);
  types();
  await pass(5999);
  assert.deepEqual(heard, [true], "said again in time");
  await pass(1);
  assert.deepEqual(heard, [true, false]);
  types();
  latest().says({ type: "user_stopped_typing", data: who });
  types();
  latest().says({ type: "new_message", data: message(1) });
  assert.deepEqual(heard, [true, false, true, false, true, false]);
});

test("typing is told at most every three seconds", async () => {
  await chat.start();
  const conversation = await chat.conversation("c");
  conversation.typing();
  conversation.typing();
  await pass(2999);
  conversation.typing();
  assert.equal(latest().frames("typing_start").length, 1);
  await pass(1);
  conversation.typing();
  assert.equal(latest().frames("typing_start").length, 2);
  conversation.stopTyping();
  conversation.stopTyping();
  assert.equal(latest().frames("typing_stop").length, 1);
});

test("unread messages are counted, and read ones are not", async () => {
  await chat.start();
  latest().says({
    type: "conversation_updated",
    data: { conversationId: "c", lastMessage: message(4), lastSeq: 4, unreadCount: 2 },
  });
  assert.deepEqual([chat.unreadCount, chat.conversations[0].lastMessage.seq], [2, 4]);
  const [conversation] = await Promise.all([chat.conversation("c"), settle()]);
  latest().says({ type: "new_message", data: message(5) });
  assert.equal(chat.unreadCount, 3);
  const reading = conversation.markRead();
  const [{ id, upToSeq }] = latest().frames("mark_read");
  assert.equal(upToSeq, 5);
  const readAt = "2026-11-22T12:01:00.000Z";
  latest().says({ type: "messages_read", id, data: { conversationId: "c", readerId: "alice", upToSeq, readAt } });
  await reading;
  assert.equal(chat.unreadCount, 0);
  await conversation.markRead();
  assert.equal(latest().frames("mark_read").length, 1, "there is nothing to read any more");
});

test("one's own messages are read when the other side says so", async () => {
  stored = [message(1, alice), message(2, bob), message(3, alice)];
  await chat.start();
  const conversation = await chat.conversation("c");
  const readAt = "2026-11-22T12:01:00.000Z";
  latest().says({ type: "messages_read", data: { conversationId: "c", readerId: "bob", upToSeq: 2, readAt } });
  assert.deepEqual(conversation.snapshot.messages.map((one) => one.readAt), [readAt, null, null]);
});

test("a conversation with somebody new is listed", async () => {
  summaries = [];
  await chat.start();
  assert.equal(chat.conversations.length, 0);
  summaries = [summary({ lastMessage: message(1), lastMessageAt: message(1).createdAt, lastSeq: 1, unreadCount: 1 })];
  latest().says({
    type: "conversation_updated",
    data: { conversationId: "c", lastMessage: message(1), lastSeq: 1, unreadCount: 1 },
  });
  await settle();
  assert.deepEqual([chat.conversations.length, chat.unreadCount], [1, 1]);
});

const group = (more = {}) =>
  summary({ kind: "group", title: "Holidays", participantCount: 3, otherUser: null, lastChange: 1, ...more });
const roster = (more) => ({
  type: "participants_changed",
  data: { conversationId: "c", added: [], removed: [], roles: [], participantCount: 3, lastChange: 2, ...more },
});

test("nothing is asked for below the first message that is seen", async () => {
  lastChange = 1;
  stored = [1, 2, 3, 4, 5, 6].map((seq) => message(seq));
  firstSeq = 7;
  summaries = [group({ firstSeq: 7, lastSeq: 6 })];
  await chat.start();
  const conversation = await chat.conversation("c");
  await settle();
  const asked = requests.length;
  assert.deepEqual([conversation.snapshot.messages, conversation.snapshot.hasOlder], [[], false]);
  heads = [{ conversationId: "c", lastSeq: 6, lastChange: 1 }];
  chat.retry();
  await settle();
  assert.equal(requests.length, asked, "there is no gap to fill");
  latest().says({ type: "new_message", data: message(7) });
  assert.deepEqual(conversation.snapshot.messages.map(({ seq }) => seq), [7]);
});

test("who comes back sees what comes after, and does not ask for the rest for ever", async () => {
  stored = [1, 2].map((seq) => message(seq));
  summaries = [group({ lastSeq: 2 })];
  await chat.start();
  const conversation = await chat.conversation("c");
  assert.equal(conversation.snapshot.messages.length, 2);
  // Out and in again while the connection was away.
  firstSeq = 6;
  stored = [1, 2, 3, 4, 5, 6, 7].map((seq) => message(seq));
  latest().breaks();
  await pass(1000);
  assert.deepEqual(conversation.snapshot.messages.map(({ seq }) => seq), [6, 7]);
  assert.equal(conversation.snapshot.hasOlder, false);
  assert(requests.filter((path) => path.includes("after=")).length <= 1, requests.join(" "));
});

test("a change of a group counts once, in whatever order changes come", async () => {
  summaries = [group()];
  await chat.start();
  const heard = [];
  chat.on("participants", (detail) => heard.push(detail.lastChange));
  const changed = { conversationId: "c", kind: "group", title: "Hikers", avatarUrl: null, participantCount: 4, lastChange: 2 };
  latest().says({ type: "conversation_changed", data: changed });
  assert.deepEqual([chat.conversations[0].title, chat.conversations[0].lastChange], ["Hikers", 2]);
  // The one before is still under way: what it told is fetched.
  summaries = [group({ title: "Climbers", role: "owner", participantCount: 5, lastChange: 4 })];
  latest().says(roster({ participantCount: 5, lastChange: 4 }));
  latest().says({ type: "conversation_changed", data: { ...changed, title: "Climbers", lastChange: 3 } });
  await settle();
  const [{ title, role, participantCount, lastChange }] = chat.conversations;
  assert.deepEqual([title, role, participantCount, lastChange], ["Climbers", "owner", 5, 4]);
  assert.deepEqual(heard, [4]);
});

test("a removal that comes after word of being added again is old", async () => {
  summaries = [group()];
  await chat.start();
  summaries = [group({ firstSeq: 4, lastSeq: 3, lastChange: 3 })];
  latest().says(roster({ added: ["alice"], lastChange: 3 }));
  latest().says(roster({ removed: ["alice"], lastChange: 2 }));
  await settle();
  assert.equal(chat.conversations[0].firstSeq, 4);
});

test("what was to be sent to a group that is gone is given up", async () => {
  summaries = [group()];
  await chat.start();
  await chat.conversation("c");
  const gone = [];
  chat.on("gone", (detail) => gone.push(detail));
  const sending = assert.rejects(chat.send("c", "let me in"), { code: "forbidden" });
  latest().says(roster({ removed: ["alice"] }));
  await sending;
  assert.deepEqual([chat.unsentCount, gone], [0, ["c"]]);
});

test("a conversation that cannot be joined after a reload is gone", async () => {
  summaries = [];
  joinError.c = { code: "forbidden", message: "no", retryable: false };
  const gone = [];
  chat.on("gone", (detail) => gone.push(detail));
  await Promise.all([assert.rejects(chat.conversation("c"), { code: "forbidden" }), chat.start()]);
  assert.deepEqual(gone, ["c"]);
});

test("an older answer of the list does not drop what a newer one has", async () => {
  summaries = [group()];
  await chat.start();
  let release;
  hold = new Promise((resolve) => (release = resolve));
  heads = [{ conversationId: "new", lastSeq: 0, lastChange: 1 }];
  chat.retry();
  await settle();
  hold = undefined;
  summaries = [group(), group({ id: "new" })];
  chat.retry();
  await settle();
  assert.deepEqual(chat.conversations.length, 2);
  release();
  await settle();
  assert.deepEqual(chat.conversations.length, 2);
});

test("who is removed has the conversation no more, and who is added has it", async () => {
  summaries = [group()];
  await chat.start();
  await chat.conversation("c");
  latest().says(roster({ removed: ["alice"], participantCount: 2 }));
  assert.deepEqual(chat.conversations, []);
  summaries = [group({ firstSeq: 4, lastSeq: 3, lastChange: 3 })];
  latest().says(roster({ added: ["alice"], lastChange: 3 }));
  await settle();
  assert.equal(chat.conversations[0].firstSeq, 4);
});

test("a removal that was missed is noticed in the list", async () => {
  summaries = [group(), summary({ id: "d" })];
  await chat.start();
  assert.equal(chat.conversations.length, 2);
  summaries = [summary({ id: "d" })];
  latest().breaks();
  await pass(1000);
  assert.deepEqual(chat.conversations.map(({ id }) => id), ["d"]);
});

test("in a group nothing is read at a time", async () => {
  stored = [message(1)];
  summaries = [group({ lastMessage: message(1), lastMessageAt: message(1).createdAt, lastSeq: 1, unreadCount: 1 })];
  await chat.start();
  const conversation = await chat.conversation("c");
  const readAt = "2026-11-22T12:00:00.000Z";
  latest().says({ type: "messages_read", data: { conversationId: "c", readerId: "alice", upToSeq: 1, readAt } });
  assert.equal(chat.conversations[0].unreadCount, 0);
  assert.equal(conversation.snapshot.messages[0].readAt, null);
  assert.equal(chat.conversations[0].lastMessage.readAt, null);
});

/** The service stores a change of a message, and returns the push that tells of it. */
function changes(seq, more) {
  const at = stored.findIndex((one) => one.seq === seq);
  stored[at] = { ...stored[at], ...more, change: ++lastChange };
  return { type: "message_changed", data: { message: stored[at], change: lastChange } };
}

const contents = (conversation) => conversation.snapshot.messages.map(({ content }) => content);

test("changes are shown, whatever order they come in", async () => {
  stored = [1, 2, 3].map((seq) => message(seq));
  summaries = [summary({ lastMessage: stored[2], lastSeq: 3 })];
  await chat.start();
  const conversation = await chat.conversation("c");
  latest().says(changes(1, { content: "one" }));
  assert.deepEqual(contents(conversation), ["one", "message 2", "message 3"]);
  const [second, third] = [changes(3, { content: "three" }), changes(3, { content: "3" })];
  latest().says(third);
  latest().says(second);
  assert.deepEqual(contents(conversation), ["one", "message 2", "3"]);
  await settle();
  const missed = changes(2, { content: "two" });
  latest().says(changes(1, { content: "1" }));
  await pass(0);
  assert.deepEqual(contents(conversation), ["1", "two", "3"], "what was not heard of is fetched");
  const asked = requests.filter((path) => path.includes("/changes"));
  assert.equal(asked.at(-1), "/api/conversations/c/changes?after=3&limit=100");
  latest().says(missed);
  await pass(0);
  assert.equal(requests.filter((path) => path.includes("/changes")).length, asked.length, "that is known already");
  assert.equal(chat.conversations[0].lastMessage.content, "3");
});

test("a change between a page and the join is not missed", async () => {
  stored = [1, 2, 3].map((seq) => message(seq));
  await chat.start();
  let open;
  hold = new Promise((resolve) => (open = resolve));
  const opening = chat.conversation("c");
  await settle();
  // The page is read by now, and has not arrived. The push of the first change is lost.
  changes(1, { content: "one" });
  changes(2, { content: "two" });
  changes(3, { content: "three" });
  latest().says(changes(3, { content: "3" }));
  open();
  const conversation = await opening;
  await pass(0);
  assert.deepEqual(contents(conversation), ["one", "two", "3"]);
});

test("a change that overtakes its message is not undone by it", async () => {
  stored = [message(1)];
  await chat.start();
  const conversation = await chat.conversation("c");
  const [two, three] = [message(2), message(3)];
  stored.push(two, three);
  const edited = changes(3, { content: "three" });
  let open;
  hold = new Promise((resolve) => (open = resolve));
  latest().says(edited);
  latest().says({ type: "new_message", data: three });
  latest().says({ type: "new_message", data: two });
  assert.deepEqual(contents(conversation), ["message 1", "message 2", "three"]);
  open();
  await pass(0);
  assert.deepEqual(contents(conversation), ["message 1", "message 2", "three"]);
});

test("a page that is older than a change is brought up to date", async () => {
  stored = [1, 2, 3, 4, 5].map((seq) => message(seq));
  await chat.start();
  const conversation = await chat.conversation("c");
  let open;
  hold = new Promise((resolve) => (open = resolve));
  const loading = conversation.older();
  await settle();
  // This message is not here yet, so its change is not kept.
  latest().says(changes(1, { content: "one" }));
  latest().says(changes(5, { content: "five" }));
  hold = undefined;
  open();
  await loading;
  await pass(0);
  assert.deepEqual(contents(conversation), ["one", "message 2", "message 3", "message 4", "five"]);
});

test("a change that was missed is noticed by the next ping", async () => {
  stored = [message(1)];
  summaries = [summary({ lastMessage: stored[0], lastSeq: 1 })];
  await chat.start();
  const conversation = await chat.conversation("c");
  changes(1, { content: "one" });
  summaries = [summary({ lastMessage: stored[0], lastSeq: 1, lastChange })];
  heads = [{ conversationId: "c", lastSeq: 1, lastChange }];
  chat.retry();
  await pass(0);
  assert.deepEqual(contents(conversation), ["one"]);
  assert.equal(chat.conversations[0].lastMessage.content, "one");
});

/** Alice's message in an open conversation. */
async function own() {
  stored = [message(1, alice)];
  summaries = [summary({ lastMessage: stored[0], lastSeq: 1 })];
  await chat.start();
  const conversation = await chat.conversation("c");
  return { conversation, sent: conversation.snapshot.messages[0] };
}

test("an edit is shown at once, and as it is stored once it is", async () => {
  const { conversation, sent } = await own();
  const editing = conversation.edit(sent, "edited", { metadata: { mood: "good" } });
  assert.equal(conversation.snapshot.messages[0].content, "edited");
  assert.equal(chat.conversations[0].lastMessage.content, "message 1", "the list shows what is stored");
  const [{ id, action, ...fields }] = latest().frames("edit_message");
  assert.deepEqual(fields, { messageId: "m1", content: "edited", metadata: { mood: "good" }, ifChange: null });
  latest().says({ ...changes(1, { content: "edited", editedAt: "2026-11-22T12:01:00.000Z" }), id });
  assert.equal((await editing).editedAt, "2026-11-22T12:01:00.000Z");
  assert.equal(conversation.snapshot.messages[0].change, 1);
  assert.equal(chat.conversations[0].lastMessage.content, "edited");
});

test("what is refused is taken back", async () => {
  const { conversation, sent } = await own();
  const reacting = conversation.react(sent, "👍");
  const deleting = conversation.delete(sent);
  assert.equal(conversation.snapshot.messages[0].content, "");
  const refuse = (action) => {
    const [{ id }] = latest().frames(action);
    latest().says({ type: "error", id, error: { code: "invalid_request", message: "no", retryable: false } });
  };
  refuse("add_reaction");
  await assert.rejects(reacting, { code: "invalid_request" });
  await settle();
  assert.equal(conversation.snapshot.messages[0].content, "", "the deletion is still asked for");
  refuse("delete_message");
  await assert.rejects(deleting, { code: "invalid_request" });
  assert.deepEqual(conversation.snapshot.messages, stored);
});

test("changes wait for a connection, go out in order, and are repeated", async () => {
  const { conversation, sent } = await own();
  const first = conversation.edit(sent, "one");
  latest().breaks();
  const [second, third] = [conversation.edit(sent, "two"), conversation.react(sent, "👍")];
  assert.deepEqual(conversation.snapshot.messages[0].reactions, [{ reaction: "👍", count: 1, userIds: ["alice"] }]);
  // The first was carried out, and its answer was lost.
  changes(1, { content: "one", editedAt: "2026-11-22T12:01:00.000Z" });
  await pass(1000);
  const answer = async (action, at, change) => {
    const frame = latest().frames(action)[at];
    latest().says({ ...change(), id: frame.id });
    await settle();
    return frame;
  };
  // The join tells that there was a change, and what is fetched then shows that it was this one.
  assert.equal((await first).content, "one");
  assert.equal(conversation.snapshot.messages[0].content, "two", "the next one is still asked for");
  assert.equal(latest().frames("add_reaction").length, 0);
  const edited = () => changes(1, { content: "two", editedAt: "2026-11-22T12:02:00.000Z" });
  assert.equal((await answer("edit_message", 0, edited)).ifChange, 1);
  await second;
  const reactions = [{ reaction: "👍", count: 1, userIds: ["alice"] }];
  await answer("add_reaction", 0, () => changes(1, { reactions }));
  await third;
  assert.deepEqual(conversation.snapshot.messages, stored);
});

test("an edit does not undo another device's, and is tried again after a reaction", async () => {
  const { conversation, sent } = await own();
  const answered = new Set();
  const editing = conversation.edit(sent, "mine");
  const answer = (change) => {
    const { id, ifChange } = latest().frames("edit_message").at(-1);
    assert(!answered.has(id), "the next try is sent");
    answered.add(id);
    latest().says({ ...change, id });
    return ifChange;
  };
  answer(changes(1, { reactions: [{ reaction: "👍", count: 1, userIds: ["bob"] }] }));
  await settle();
  assert.equal(answer(changes(1, { content: "mine", editedAt: "2026-11-22T12:01:00.000Z" })), 1);
  assert.equal((await editing).reactions.length, 1);
  const again = conversation.edit(conversation.snapshot.messages[0], "mine, too");
  await settle();
  answer(changes(1, { content: "the tablet's", editedAt: "2026-11-22T12:02:00.000Z" }));
  await assert.rejects(again, { code: "conflict" });
  assert.deepEqual(contents(conversation), ["the tablet's"]);
  const last = conversation.edit(conversation.snapshot.messages[0], "at last");
  await settle();
  answer(changes(1, { content: "", deletedAt: "2026-11-22T12:03:00.000Z" }));
  await assert.rejects(last, { code: "conflict" });
});

test("an edit is of what its user saw, not of what has come since", async () => {
  const { conversation, sent } = await own();
  // The composer was opened before this came.
  latest().says(changes(1, { content: "the tablet's", editedAt: "2026-11-22T12:01:00.000Z" }));
  await assert.rejects(conversation.edit(sent, "mine"), { code: "conflict" });
  assert.equal(latest().frames("edit_message").length, 0);
  // The same while there was no connection.
  latest().breaks();
  const editing = conversation.edit(conversation.snapshot.messages[0], "mine");
  const refused = assert.rejects(editing, { code: "conflict" });
  changes(1, { content: "the tablet's again", editedAt: "2026-11-22T12:02:00.000Z" });
  await pass(1000);
  await refused;
  assert.deepEqual(contents(conversation), ["the tablet's again"]);
});

test("an edit of the metadata alone is repeated after a reaction", async () => {
  const { sent, conversation } = await own();
  const editing = conversation.edit(sent, sent.content, { metadata: { mood: "good" } });
  const answer = (change) => {
    const { id, ifChange } = latest().frames("edit_message").at(-1);
    latest().says({ ...change, id });
    return ifChange;
  };
  answer(changes(1, { reactions: [{ reaction: "👍", count: 1, userIds: ["bob"] }] }));
  await settle();
  assert.equal(answer(changes(1, { metadata: { mood: "good" }, editedAt: "2026-11-22T12:01:00.000Z" })), 1);
  assert.deepEqual((await editing).metadata, { mood: "good" });
  // What changes nothing is done at once.
  const again = conversation.edit(stored[0], stored[0].content);
  await settle();
  answer({ type: "message_changed", data: { message: stored[0], change: stored[0].change } });
  assert.equal((await again).change, 2);
});

test("what is asked for goes on while its conversation is closed, and is shown when it is opened again", async () => {
  const { sent, conversation: before } = await own();
  const editing = [before.edit(sent, "one"), before.edit(sent, "two")];
  await before.release();
  const conversation = await chat.conversation("c");
  assert.deepEqual([contents(conversation), conversation.isPending("m1"), chat.unsentCount], [["two"], true, 2]);
  for (const [at, content] of ["one", "two"].entries()) {
    const { id } = latest().frames("edit_message")[at];
    latest().says({ ...changes(1, { content, editedAt: `2026-11-22T12:0${at + 1}:00.000Z` }), id });
    await settle();
  }
  assert.equal((await editing[1]).content, "two");
  await editing[0];
  assert.deepEqual([contents(conversation), conversation.isPending("m1"), chat.unsentCount], [["two"], false, 0]);
});

test("what is asked for after a removal is not mixed up with what was asked for before", async () => {
  const { sent, conversation } = await own();
  const first = assert.rejects(conversation.react(sent, "👍"), { code: "forbidden" });
  const [{ id }] = latest().frames("add_reaction");
  latest().says({ type: "participants_changed", data: { ...roster().data, removed: ["alice"], lastChange: 1 } });
  await first;
  await assert.rejects(conversation.react(sent, "🎉"), { code: "forbidden" }, "it is not theirs any more");
  const again = await chat.conversation("c");
  const second = again.react(sent, "🎉");
  latest().says({ ...changes(1, { reactions: [{ reaction: "👍", count: 1, userIds: ["alice"] }] }), id });
  await settle();
  const next = latest().frames("add_reaction").at(-1);
  assert.equal(next.reaction, "🎉");
  latest().says({ ...changes(1, { reactions: [] }), id: next.id });
  await second;
});

test("the list does not show what a message said before a change that overtook it", async () => {
  stored = [message(1)];
  summaries = [summary({ lastMessage: stored[0], lastSeq: 1 })];
  await chat.start();
  const two = message(2);
  stored.push(two);
  const deleted = changes(2, { content: "", deletedAt: "2026-11-22T12:03:00.000Z" });
  summaries = [summary({ lastMessage: stored[1], lastSeq: 2, lastChange: 1 })];
  latest().says(deleted);
  latest().says({ type: "new_message", data: two });
  await pass(0);
  const [{ lastMessage, lastChange: known }] = chat.conversations;
  assert.deepEqual([lastMessage.content, known], ["", 1]);
});

test("an answer that is older than an event does not undo it", async () => {
  summaries = [summary({ unreadCount: 2, lastSeq: 2, lastMessage: message(2) })];
  await chat.start();
  const old = summaries;
  let open;
  hold = new Promise((resolve) => (open = resolve));
  // After a gap the conversation is fetched, once however many pushes tell of it.
  const changed = (change) => ({
    type: "conversation_changed",
    data: { conversationId: "c", kind: "direct", title: "", avatarUrl: null, participantCount: 2, lastChange: change },
  });
  const before = requests.length;
  for (let change = 5; change < 20; change++) latest().says(changed(change));
  await settle();
  assert.equal(requests.length, before + 1);
  latest().says({ type: "user_online", data: { userId: "bob", version: 7 } });
  latest().says({ type: "messages_read", data: { conversationId: "c", readerId: "alice", upToSeq: 2, readAt: "2026-11-22T12:03:00.000Z" } });
  latest().says({ type: "new_message", data: message(3) });
  summaries = [{ ...old[0], lastChange: 19, lastSeq: 3, lastMessage: message(3), unreadCount: 1 }];
  summaries[0].otherUser = { ...old[0].otherUser, online: true };
  let openAgain;
  hold = new Promise((resolve) => (openAgain = resolve));
  open();
  await settle();
  assert.deepEqual([chat.conversations[0].otherUser.online, chat.conversations[0].unreadCount], [true, 1]);
  openAgain();
  await pass(0);
  const [{ otherUser, unreadCount, lastMessage, lastChange: known }] = chat.conversations;
  assert.deepEqual([otherUser.online, unreadCount, lastMessage.seq, known], [true, 1, 3, 19]);
  assert.equal(requests.length, before + 2, "and once more, since more had changed");
});

test("a page of the list does not put back an older message, nor take away when one was read", async () => {
  const mine = message(4, alice);
  summaries = [summary({ lastSeq: 4, lastMessage: mine })];
  await chat.start();
  await chat.conversation("c");
  // The page was read before the next message, and tells of a change of the one before.
  let open;
  hold = new Promise((resolve) => (open = resolve));
  const edited = { ...mine, content: "edited", change: 9, readAt: "2026-11-22T12:03:00.000Z" };
  summaries = [summary({ lastSeq: 4, lastMessage: edited, lastChange: 9 })];
  latest().says({ type: "new_message", data: message(6) });
  await settle();
  latest().says({ type: "new_message", data: message(5) });
  open();
  await pass(0);
  assert.equal(chat.conversations[0].lastMessage.seq, 5);
  latest().breaks();
  summaries = [summary({ lastSeq: 5, lastMessage: message(5, alice), lastChange: 9 })];
  await pass(1000);
  const read = { ...message(5, alice), readAt: "2026-11-22T12:04:00.000Z" };
  summaries = [summary({ lastSeq: 5, lastMessage: read, lastChange: 9 })];
  latest().breaks();
  await pass(2000);
  assert.equal(chat.conversations[0].lastMessage.readAt, read.readAt);
});

test("a change after a page and before a new connection is not missed", async () => {
  stored = [message(1)];
  await chat.start();
  const conversation = await chat.conversation("c");
  latest().breaks();
  changes(1, { content: "one" });
  await pass(1000);
  assert.deepEqual(contents(conversation), ["one"]);
});

test("a reply names its message, which is fetched if it is not here", async () => {
  stored = [1, 2, 3, 4, 5].map((seq) => message(seq));
  await chat.start();
  const conversation = await chat.conversation("c");
  void conversation.reply(conversation.snapshot.messages[2], "because", { metadata: { tone: "dry" } }).catch(() => {});
  const [{ id, action, clientMessageId, ...fields }] = latest().frames("send_message");
  assert.deepEqual(fields, { conversationId: "c", content: "because", replyTo: "m5", metadata: { tone: "dry" } });
  assert.equal(conversation.find("m2"), undefined);
  const before = requests.length;
  await conversation.quote("m2");
  assert.deepEqual(requests.slice(before), [
    "/api/conversations/c/messages?before=m2&limit=1&markRead=false",
    "/api/conversations/c/messages?after=1&limit=1&markRead=false",
  ]);
  assert.equal(conversation.find("m2").content, "message 2");
  latest().says(changes(2, { content: "", deletedAt: "2026-11-22T12:03:00.000Z" }));
  assert.equal(conversation.find("m2").content, "", "its changes are shown too");
});

test("after a stop nothing goes on", async () => {
  await chat.start();
  chat.stop();
  await pass(10 * MINUTE);
  assert.deepEqual([Socket.all.length, latest().closed, chat.connection.state], [1, true, "idle"]);
  await assert.rejects(chat.send("c", "hi"), { code: "stopped" });
});

/** The service stores the message of a frame. */
function stores(frame, seq) {
  const { id, clientMessageId, conversationId } = frame;
  latest().says({ type: "new_message", id, data: message(seq, alice, { clientMessageId, conversationId }) });
}

test("an error before a connection is open is a failure, whether or not a close follows", async () => {
  Socket.refuse = "with an error";
  const started = chat.start();
  await pass(0);
  Socket.refuse = false;
  await pass(500);
  await started;
  assert.deepEqual([chat.connection.state, Socket.all.length], ["online", 2]);
});

test("whoever comes back to the page looks at once whether the connection is alive", async () => {
  const [window, document] = [new EventTarget(), new EventTarget()];
  Object.assign(globalThis, { window, document });
  try {
    await chat.start();
    const pings = () => latest().frames("ping").length;
    document.visibilityState = "hidden";
    document.dispatchEvent(new Event("visibilitychange"));
    assert.equal(pings(), 0, "nobody looks");
    document.visibilityState = "visible";
    silent = true;
    document.dispatchEvent(new Event("visibilitychange"));
    window.dispatchEvent(new Event("focus"));
    window.dispatchEvent(new Event("pageshow"));
    assert.equal(pings(), 1, "one ping for what happens together");
    await pass(5000);
    assert.equal(latest().closed, true, "dead");
    silent = false;
    await pass(1000);
    assert.deepEqual([chat.connection.state, Socket.all.length], ["online", 2]);
    window.dispatchEvent(new Event("online"));
    await pass(0);
    assert.deepEqual([pings(), latest().closed], [1, false], "alive");
    chat.stop();
    window.dispatchEvent(new Event("focus"));
    assert.equal(pings(), 1, "and nothing after a stop");
  } finally {
    delete globalThis.window;
    delete globalThis.document;
  }
});

test("who was closed for being the oldest connection waits before the next one", async () => {
  await chat.start();
  latest().says({ type: "error", error: { code: "rate_limited", message: "too many", retryable: true, retryAfterMs: 60_000 } });
  latest().breaks();
  await pass(59_000);
  assert.equal(Socket.all.length, 1);
  await pass(1_000);
  assert.deepEqual([chat.connection.state, Socket.all.length], ["online", 2]);
  latest().says({ type: "error", error: { code: "rate_limited", message: "too many", retryable: true, retryAfterMs: 60_000 } });
  latest().breaks();
  await pass(0);
  chat.retry();
  await pass(0);
  assert.deepEqual([chat.connection.state, Socket.all.length], ["online", 3], "but not if somebody asks for it");
});

test("an id of a conversation may be written in any way", async () => {
  const id = "0197f1c0-0000-7000-8000-00000000abcd";
  await chat.start();
  const conversation = await chat.conversation(id.toUpperCase());
  assert.equal(conversation.id, id);
  const other = await chat.conversation(`{${id.replaceAll("-", "")}}`);
  assert.equal(other.snapshot, conversation.snapshot);
  latest().says({ type: "new_message", data: message(1, bob, { conversationId: id }) });
  assert.deepEqual(conversation.snapshot.messages.map(({ seq }) => seq), [1]);
  void chat.send(id.toUpperCase(), "hi");
  assert.equal(latest().frames("send_message")[0].conversationId, id);
});

test("what is no frame is reported, and nothing comes of it", async () => {
  const problems = [];
  chat.on("problem", (detail) => problems.push(detail.code));
  await chat.start();
  const conversation = await chat.conversation("c");
  const nonsense = ['"hello"', "", "null", "[]", "5", "{", '{"type":"new_message"}', '{"type":"new_message","data":{}}'];
  nonsense.push('{"type":"new_message","data":{"id":"x","conversationId":"c"}}', '{"type":"messages_read"}', '{"type":"user_online"}');
  nonsense.push('{"type":"conversation_updated","data":{"conversationId":"c"}}', '{"type":"user_typing","data":null}');
  nonsense.push('{"type":"messages_read","data":{"conversationId":"c","readerId":"alice","readAt":"2026-11-22T12:00:00.000Z"}}');
  nonsense.push(`{"type":"conversation_updated","data":{"conversationId":"c","lastMessage":${JSON.stringify(message(9))}}}`);
  nonsense.push('{"type":"user_online","data":{"userId":"bob"}}', '{"type":"user_typing","data":{"conversationId":"c","userId":"bob"}}');
  for (const text of nonsense) latest().onmessage({ data: text });
  latest().onmessage({ data: new ArrayBuffer(4) });
  assert.deepEqual(problems, Array(nonsense.length + 1).fill("gateway"));
  latest().onmessage({ data: '{"type":"error"}' });
  assert.equal(problems.at(-1), "internal");
  latest().onmessage({ data: '{"type":"something_new","data":{}}' });
  latest().says({ type: "new_message", data: message(1) });
  assert.deepEqual(conversation.snapshot.messages.map(({ seq }) => seq), [1], "and the next one is taken");
  assert(Number.isInteger(chat.unreadCount));
  // Nor does a malformed answer: the gap that it hides is filled later.
  heads = [{ conversationId: "c" }];
  chat.retry();
  await settle();
  stored = [1, 2, 3].map((seq) => message(seq));
  latest().says({ type: "new_message", data: message(3) });
  await settle();
  await settle();
  assert.deepEqual(conversation.snapshot.messages.map(({ seq }) => seq), [1, 2, 3]);
});

test("a malformed answer to a join does not close the conversation", async () => {
  await chat.start();
  const conversation = await chat.conversation("c");
  latest().breaks();
  await pass(0);
  joinAnswer = {};
  await pass(1000);
  joinAnswer = undefined;
  stored = [message(1)];
  await pass(2000);
  assert.equal(chat.connection.state, "online");
  assert.deepEqual(conversation.snapshot.messages.map(({ seq }) => seq), [1]);
});

test("a wait that makes no sense is not waited for", async () => {
  await chat.start();
  for (const retryAfterMs of ["soon", null, -1, 1e13, {}]) {
    const before = Socket.all.length;
    latest().says({ type: "error", error: { code: "rate_limited", message: "x", retryable: true, retryAfterMs } });
    latest().breaks();
    await pass(50);
    assert.equal(Socket.all.length, before, `${retryAfterMs}: not at once`);
    // 120 s are the longest that is taken from outside, and each time in a row it is twice as long.
    await pass(64 * 120_000);
    assert.equal(chat.connection.state, "online", `${retryAfterMs}`);
  }
});

test("a client whose own next connection replaced the oldest does not wait", async () => {
  chat.stop();
  chat = createSwitchboard({ url: "ws://service/v1", api: "http://service", token: () => tokenUntil(Date.now() + 2 * MINUTE), WebSocket: Socket, fetch: serve, random: () => 1 });
  await chat.start();
  const before = latest();
  // The service closes the oldest while the planned replacement is being opened.
  Socket.all.push = (next) => {
    Array.prototype.push.call(Socket.all, next);
    before.says({ type: "error", error: { code: "rate_limited", message: "too many", retryable: true, retryAfterMs: 60_000 } });
    before.breaks();
  };
  await pass(2 * MINUTE - 12_000);
  delete Socket.all.push;
  assert.deepEqual([chat.connection.state, Socket.all.length], ["online", 2]);
  await pass(61_000);
  assert.deepEqual([chat.connection.state, Socket.all.length], ["online", 2], "and does not connect once more");
});

test("a late answer to a ping closes no connection on which frames come", async () => {
  await chat.start();
  silent = true;
  chat.retry();
  await pass(2_000);
  latest().says({ type: "user_online", data: { userId: "bob", version: 1 } });
  await pass(4_000);
  assert.deepEqual([latest().closed, chat.connection.state], [false, "online"]);
  chat.retry();
  await pass(6_000);
  assert.equal(latest().closed, true, "but one on which nothing comes");
});

test("what does not fit a frame is refused at once, and holds up nothing", async () => {
  await chat.start();
  const large = chat.send("c", "x".repeat(40_000));
  await assert.rejects(large, { code: "invalid_request", retryable: false });
  await assert.rejects(chat.send("c", "😀".repeat(9_000)), { code: "invalid_request" }, "in bytes");
  assert.deepEqual(chat.outgoing.map(({ state }) => state), ["failed", "failed"]);
  const small = chat.send("c", "small");
  assert.deepEqual(latest().frames("send_message").map(({ content }) => content), ["small"]);
  stores(latest().frames("send_message")[0], 1);
  assert.equal((await small).seq, 1);
});

test("a message that is refused is given up, and the next one is sent", async () => {
  await chat.start();
  const broken = chat.send("c", "\ud83d");
  const next = chat.send("c", "next");
  const [{ id }] = latest().frames("send_message");
  latest().says({ type: "error", id, error: { code: "invalid_request", message: "content: no text", retryable: false } });
  await assert.rejects(broken, { code: "invalid_request", message: "content: no text" });
  await settle();
  stores(latest().frames("send_message").at(-1), 1);
  assert.equal((await next).seq, 1);
});

test("a message over which the connection is closed twice is given up, and no other is", async () => {
  const closesOver = (content) => {
    const frame = latest().frames("send_message").find((one) => one.content === content);
    if (!frame) return false;
    latest().readyState = 3;
    latest().onclose({ code: 1009 });
    return true;
  };
  await chat.start();
  const poison = chat.send("c", "poison");
  const innocent = chat.send("d", "innocent");
  const later = chat.send("c", "later");
  const outcomes = [];
  void poison.catch((error) => outcomes.push(error));
  assert(closesOver("poison"));
  await pass(1000);
  // Each suspect comes alone now.
  assert.deepEqual(latest().frames("send_message").map(({ content }) => content), ["poison"]);
  assert(closesOver("poison"));
  await pass(2000);
  assert.deepEqual(outcomes.map(({ code, message }) => [code, message]), [
    ["invalid_request", "the connection was closed over this message 2 times"],
  ]);
  for (const [at, content] of ["innocent", "later"].entries()) {
    const frame = latest().frames("send_message").at(-1);
    assert.equal(frame.content, content);
    stores(frame, at + 1);
    await settle();
  }
  assert.deepEqual([(await innocent).seq, (await later).seq], [1, 2]);
  assert.deepEqual(chat.outgoing.map(({ content, state }) => [content, state]), [["poison", "failed"]]);
});

test("a message is not given up because the network is bad", async () => {
  await chat.start();
  const sent = chat.send("c", "hello");
  for (let times = 0; times < 5; times++) {
    latest().breaks();
    await pass(30_000);
    latest().readyState = 3;
    latest().onclose?.({ code: 1006 });
    await pass(30_000);
  }
  stores(latest().frames("send_message").at(-1), 1);
  assert.equal((await sent).seq, 1);
});

test("it needs nothing that browsers have on encrypted pages only", async () => {
  const randomUUID = crypto.randomUUID;
  crypto.randomUUID = undefined;
  try {
    await chat.start();
    void chat.send("c", "one");
    void chat.send("d", "two");
    const names = latest().frames("send_message").map(({ clientMessageId }) => clientMessageId);
    assert(names.every((name) => /^[0-9a-f]{32}$/.test(name)) && names[0] !== names[1], String(names));
  } finally {
    crypto.randomUUID = randomUUID;
  }
});

/** What becomes of a start: nothing, or the code of the error. */
const outcome = (starting) => starting.then(() => "started", ({ code }) => code);

test("a start that is of no use says so, and another one may be of use", async () => {
  const unauthenticated = () => {
    throw new SwitchboardError("unauthenticated", "sign in");
  };
  const useless = {
    "a token() that says so": [{ token: unauthenticated }, "unauthenticated", "sign in"],
    "a token() that rejects": [{ token: async () => unauthenticated() }, "unauthenticated", "sign in"],
    "a garbage token": [{ token: () => "garbage" }, "unauthenticated", /JSON Web Token/],
    "no token": [{ token: () => undefined }, "unauthenticated", /JSON Web Token/],
    "a token of nobody": [{ token: () => `a.${btoa("{}")}.c` }, "unauthenticated", /JSON Web Token/],
    "a URL that is none": [{ url: "nonsense", api: "http://service" }, "misconfigured", /^url: nonsense /],
  };
  for (const [what, [options, code, message]] of Object.entries(useless)) {
    chat = make(options);
    const states = [];
    chat.on("connection", ({ state }) => states.push(state));
    await assert.rejects(chat.start(), { code, message }, what);
    assert.equal(chat.connection.state, "failed", what);
    assert.deepEqual(states, ["connecting", "failed"], what);
    assert.equal(chat.connection.error.code, code);
    await assert.rejects(chat.send("c", "hi"), { code }, what);
    await assert.rejects(chat.conversation("c"), { code }, what);
    await pass(10 * MINUTE);
    assert.equal(Socket.all.filter(({ readyState }) => readyState === 1).length, 0, what);
  }
  let token = "garbage";
  chat = make({ token: () => token });
  await assert.rejects(chat.start(), { code: "unauthenticated" });
  token = tokenUntil(Date.now() + MINUTE * 60);
  await chat.start();
  assert.equal(chat.connection.state, "online");
});

test("without a WebSocket there is no use in starting", async () => {
  const { WebSocket } = globalThis;
  delete globalThis.WebSocket;
  try {
    chat = make({ WebSocket: undefined });
    await assert.rejects(chat.start(), { code: "misconfigured", message: /no WebSocket/ });
  } finally {
    globalThis.WebSocket = WebSocket;
  }
});

test("a token that both APIs refuse is of no use", async () => {
  Socket.refuse = true;
  refusal = { status: 401, body: { message: "Unauthorized" } };
  const starting = outcome(chat.start());
  await pass(0);
  await pass(500);
  assert.equal(await starting, "unauthenticated");
  assert.match(chat.connection.error.message, /the token is refused: Unauthorized/);
});

test("a token that is refused later ends it too", async () => {
  await chat.start();
  Socket.refuse = true;
  refusal = { status: 401, body: { message: "Unauthorized" } };
  latest().breaks();
  await pass(500);
  await pass(1000);
  assert.equal(chat.connection.state, "failed");
});

test("an HTTP API that is another one's is told", async () => {
  Socket.refuse = true;
  refusal = { status: 404, body: undefined };
  const starting = outcome(chat.start());
  await pass(0);
  await pass(500);
  assert.equal(await starting, "misconfigured");
  assert.match(chat.connection.error.message, /http:\/\/service is not the HTTP API of Switchboard: status 404/);
});

test("a start without a network does not wait for ever, and connects when there is one", async () => {
  Socket.refuse = true;
  refusal = { status: 503, body: undefined };
  const starting = outcome(chat.start());
  const waiting = chat.conversation("c");
  for (let second = 0; second < 29; second++) await pass(1000);
  assert.equal(await Promise.race([starting, "nothing yet"]), "nothing yet");
  const { state, error, retryAt } = chat.connection;
  assert.deepEqual([state, error.code, retryAt > Date.now()], ["connecting", "disconnected", true]);
  await pass(1000);
  assert.equal(await starting, "disconnected");
  Socket.refuse = false;
  refusal = undefined;
  const again = chat.start();
  await pass(0);
  await again;
  assert.equal(chat.connection.state, "online");
  assert.equal((await waiting).id, "c");
});

test("a token that cannot be fetched now is asked for again", async () => {
  let down = true;
  chat = make({ token: async () => (down ? Promise.reject(new TypeError("fetch failed")) : tokenUntil(Date.now() + 60 * MINUTE)) });
  const starting = chat.start();
  await pass(0);
  assert.deepEqual([chat.connection.state, chat.connection.error.code], ["connecting", "token_unavailable"]);
  down = false;
  await pass(500);
  await starting;
});

test("two who ask for a conversation share it, and each has it complete", async () => {
  stored = [message(1), message(2)];
  await chat.start();
  const [one, two] = await Promise.all([chat.conversation("c"), chat.conversation("c")]);
  assert.deepEqual([contents(one), contents(two)].map(({ length }) => length), [2, 2]);
  assert.equal(one.snapshot, two.snapshot);
  assert.equal(latest().frames("join_conversation").length, 1);
  const heard = [];
  chat.on("message", ({ seq }) => heard.push(seq));
  await one.release();
  await one.release();
  latest().says({ type: "new_message", data: message(3) });
  assert.deepEqual([heard, contents(two).length], [[3], 3], "the other one has it still");
  assert.equal(latest().frames("leave_conversation").length, 0);
  await two[Symbol.asyncDispose]();
  assert.equal(latest().frames("leave_conversation").length, 1);
  latest().says({ type: "new_message", data: message(4) });
  assert.deepEqual(heard, [3]);
  const again = await chat.conversation("c");
  assert.equal(latest().frames("join_conversation").length, 2);
  stored.push(message(3), message(4));
  await again.release();
});

test("who does not want to wait for a conversation any more gives it back", async () => {
  const giving = new AbortController();
  const waiting = chat.conversation("c", { signal: giving.signal });
  giving.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  await assert.rejects(chat.conversation("c", { signal: giving.signal }), /enough/);
  await chat.start();
  assert.equal(latest().frames("join_conversation").length, 0);
});

test("what is shown is the same object until something changes, and nobody can change it", async () => {
  stored = [message(1)];
  await chat.start();
  const room = await chat.conversation("c");
  const { snapshot } = room;
  assert.equal(room.snapshot, snapshot);
  assert.equal(chat.conversations, chat.conversations);
  assert.equal(chat.outgoing, chat.outgoing);
  assert.equal(chat.connection, chat.connection);
  for (const frozen of [snapshot, snapshot.messages, snapshot.outgoing, snapshot.typing, chat.conversations, chat.outgoing, chat.connection]) {
    assert(Object.isFrozen(frozen));
  }
  let changes = 0;
  const off = room.subscribe(() => changes++);
  latest().says({ type: "new_message", data: message(2) });
  assert.notEqual(room.snapshot, snapshot);
  assert.deepEqual([snapshot.messages.length, room.snapshot.messages.length], [1, 2]);
  assert(changes > 0);
  off();
  const before = changes;
  latest().says({ type: "user_typing", data: { conversationId: "c", userId: "bob", expiresInMs: 6000 } });
  assert.deepEqual([changes, room.snapshot.typing], [before, ["bob"]]);
});

test("the first unread message is known", async () => {
  stored = [message(1), message(2), message(3, alice)];
  summaries = [summary({ lastMessage: stored[2], lastSeq: 3, unreadCount: 1 })];
  await chat.start();
  const room = await chat.conversation("c");
  assert.equal(room.snapshot.firstUnreadSeq, 2);
  latest().says({ type: "new_message", data: message(4) });
  assert.equal(room.snapshot.firstUnreadSeq, 2);
  latest().says({ type: "messages_read", data: { conversationId: "c", readerId: "alice", upToSeq: 4, readAt: "2026-11-22T12:01:00.000Z" } });
  assert.equal(room.snapshot.firstUnreadSeq, null);
});

test("a conversation is marked as read once a second at most", async () => {
  await chat.start();
  const room = await chat.conversation("c");
  const answer = async () => {
    const { id, upToSeq } = latest().frames("mark_read").at(-1);
    latest().says({ type: "messages_read", id, data: { conversationId: "c", readerId: "alice", upToSeq, readAt: "2026-11-22T12:01:00.000Z" } });
    await settle();
  };
  for (let seq = 1; seq <= 20; seq++) {
    latest().says({ type: "new_message", data: message(seq) });
    void room.markRead();
    if (seq === 1) await answer();
    await pass(100);
    if (latest().frames("mark_read").length > 1 && room.snapshot.summary.unreadCount > 0) await answer();
  }
  const marks = latest().frames("mark_read").map(({ upToSeq }) => upToSeq);
  assert.deepEqual(marks, [1, 10, 20], "at once, after a second, and after another one");
});

test("a stop rejects what is waited for, and the next start sends it", async () => {
  await chat.start();
  const sending = chat.send("c", "hello");
  const opening = chat.conversation("d");
  joinError.d = { code: "unavailable", message: "", retryable: true };
  chat.stop();
  await assert.rejects(sending, { code: "stopped" });
  await assert.rejects(opening, { code: "stopped" });
  assert.deepEqual(chat.outgoing.map(({ content, state }) => [content, state]), [["hello", "pending"]]);
  await chat.start();
  const [frame] = latest().frames("send_message");
  assert.equal(frame.content, "hello");
  stores(frame, 1);
  await settle();
  assert.equal(chat.outgoing.length, 0);
});

test("a signal stops the client", async () => {
  const ending = new AbortController();
  chat = make({ signal: ending.signal });
  await chat.start();
  ending.abort();
  assert.deepEqual([chat.connection.state, latest().closed], ["idle", true]);
});

test("a listener that throws harms nobody else, and is told of", async () => {
  const thrown = new Promise((resolve) => process.setUncaughtExceptionCaptureCallback(resolve));
  await chat.start();
  const heard = [];
  chat.on("presence", () => {
    throw new Error("a fault of the application");
  });
  chat.on("presence", ({ userId }) => heard.push(userId));
  latest().says({ type: "user_online", data: { userId: "bob", version: 1 } });
  assert.deepEqual(heard, ["bob"]);
  assert.match((await thrown).message, /fault of the application/);
  process.setUncaughtExceptionCaptureCallback(null);
});

/** An outbox that tells what it is told. */
function noting() {
  const notes = [];
  const store = {
    open: async (userId, adopt) => {
      notes.push(["open", userId]);
      adopt(store.left);
    },
    put: async ({ content, state }) => void notes.push(["put", content, state]),
    delete: async () => void notes.push(["delete"]),
    close: () => notes.push(["close"]),
    left: [],
  };
  return { notes, store };
}

test("what is sent is kept from the first token on, until it is stored or discarded", async () => {
  const { notes, store } = noting();
  store.left = [{ clientMessageId: "old", conversationId: "c", content: "left", state: "pending" }];
  chat = make({ outbox: store });
  void chat.send("c", "before the start").catch(() => {});
  Socket.refuse = true;
  void chat.start().catch(() => {});
  await pass(0);
  void chat.send("c", "without a connection").catch(() => {});
  assert.deepEqual(notes.splice(0), [["open", "alice"], ["put", "left", "pending"], ["put", "before the start", "pending"], ["put", "without a connection", "pending"]]);
  assert.deepEqual(chat.outgoing.map(({ content }) => content), ["left", "before the start", "without a connection"]);
  Socket.refuse = false;
  await pass(500);
  stores(latest().frames("send_message")[0], 1);
  await settle();
  assert.deepEqual(notes.splice(0), [["delete"]]);
  chat.stop();
  assert.deepEqual(notes.splice(0), [["close"]]);
  void chat.start();
  void chat.send("c", "after a stop").catch(() => {});
  await settle();
  assert.deepEqual(notes.filter(([what]) => what === "open").length, 1, "at once, since the user is known");
  assert.equal(notes.some(([, content]) => content === "after a stop"), true);
});

test("an outbox that cannot keep anything is told of, and what is sent arrives", async () => {
  const broken = async () => {
    throw new Error("there is no room");
  };
  const problems = [];
  chat = make({ outbox: { open: broken, put: broken, delete: broken, close: () => {} } });
  chat.on("problem", ({ message }) => problems.push(message));
  await chat.start();
  const sending = chat.send("c", "hello");
  stores(latest().frames("send_message")[0], 1);
  await sending;
  await settle();
  assert(problems.length > 0 && problems.every((message) => message === "there is no room"), String(problems));
});

test("a read up to a message before the latest leaves an exact count", async () => {
  summaries = [summary({ lastMessage: message(5), lastSeq: 5, unreadCount: 4 })];
  await chat.start();
  // Of the two after it, one is this user's own.
  summaries = [summary({ lastMessage: message(5), lastSeq: 5, unreadCount: 1 })];
  latest().says({ type: "messages_read", data: { conversationId: "c", readerId: "alice", upToSeq: 3, readAt: "2026-11-22T12:01:00.000Z" } });
  assert.equal(chat.unreadCount, 2, "at most");
  await settle();
  await settle();
  assert.equal(chat.unreadCount, 1);
});

test("a read that was missed is noticed although messages come meanwhile", async () => {
  summaries = [summary({ lastMessage: message(5), lastSeq: 5, unreadCount: 4 })];
  await chat.start();
  summaries = [summary({ lastMessage: message(5), lastSeq: 5, unreadCount: 0 })];
  let release;
  hold = new Promise((resolve) => (release = resolve));
  latest().breaks();
  await pass(1000);
  latest().says({ type: "conversation_updated", data: { conversationId: "c", lastMessage: message(6), lastSeq: 6, unreadCount: 5 } });
  summaries = [summary({ lastMessage: message(6), lastSeq: 6, unreadCount: 1 })];
  release();
  await settle();
  await settle();
  assert.equal(chat.unreadCount, 1);
});

test("a stop rejects edits too, and takes back what they show", async () => {
  const { conversation, sent } = await own();
  const editing = conversation.edit(sent, "edited");
  chat.stop();
  await assert.rejects(editing, { code: "stopped" });
  assert.equal(conversation.snapshot.messages[0].content, "message 1");
  await assert.rejects(conversation.edit(sent, "later"), { code: "stopped" });
  await assert.rejects(conversation.react(sent, "👍"), { code: "stopped" });
});

test("a listener of a conversation that throws harms nobody else", async () => {
  const thrown = [];
  process.setUncaughtExceptionCaptureCallback((error) => thrown.push(error.message));
  stored = [message(1)];
  await chat.start();
  const conversation = await chat.conversation("c");
  conversation.subscribe(() => {
    throw new Error("a fault of the application");
  });
  const problems = [];
  chat.on("problem", ({ message }) => problems.push(message));
  latest().says({ type: "new_message", data: message(2) });
  latest().breaks();
  await pass(1000);
  assert.deepEqual([chat.connection.state, Socket.all.length, problems], ["online", 2, []]);
  assert(thrown.length > 0 && thrown.every((message) => message === "a fault of the application"));
  process.setUncaughtExceptionCaptureCallback(null);
});

test("a client may be stopped and started by whoever hears of its state", async () => {
  let times = 0;
  chat.on("connection", ({ state }) => {
    if (state !== "online" || times++ > 0) return;
    chat.stop();
    void chat.start();
  });
  await assert.rejects(chat.start(), { code: "stopped" });
  await pass(1000);
  assert.equal(chat.connection.state, "online");
  const states = [];
  chat.on("connection", ({ state }) => states.push(state));
  chat.stop();
  void chat.start();
  assert.deepEqual(states, ["idle", "connecting"], "at once");
});

test("who starts a client that is connected waits for nothing", async () => {
  Socket.refuse = true;
  refusal = { status: 503, body: undefined };
  const first = outcome(chat.start());
  for (let second = 0; second < 30; second++) await pass(1000);
  assert.equal(await first, "disconnected");
  Socket.refuse = false;
  refusal = undefined;
  chat.retry();
  await pass(0);
  assert.equal(await outcome(chat.start()), "started");
});

test("a connection that was opened while nobody looked is tried like any other once somebody does", async () => {
  let isVisible = false;
  chat = make({ lifecycle: { isVisible: () => isVisible, subscribe: () => () => {} } });
  await chat.start();
  isVisible = true;
  silent = true;
  await pass(30_000);
  await pass(5000);
  assert.equal(chat.connection.state, "reconnecting");
});

test("a ping from before somebody came back does not hold up the one that they need", async () => {
  let look;
  let isVisible = false;
  chat = make({ lifecycle: { isVisible: () => isVisible, subscribe: (listener) => ((look = listener), () => {}) } });
  await chat.start();
  silent = true;
  for (let n = 0; n < 24; n++) await pass(10_000);
  assert.equal(latest().frames("ping").length, 1);
  isVisible = true;
  look();
  assert.equal(latest().frames("ping").length, 2);
  await pass(5000);
  assert.equal(chat.connection.state, "reconnecting");
});

test("a token() that never answers is asked again", async () => {
  let asked = 0;
  chat = make({ token: () => (++asked === 1 ? new Promise(() => {}) : tokenUntil(Date.now() + 60 * MINUTE)) });
  const starting = chat.start();
  await pass(15_000);
  assert.equal(chat.connection.error.code, "token_unavailable");
  await pass(500);
  await starting;
  assert.equal(asked, 2);
});

test("what was seen without a connection is marked with the next one, and no more than there is", async () => {
  summaries = [summary({ lastMessage: message(3), lastSeq: 3, unreadCount: 3 })];
  stored = [1, 2, 3].map((seq) => message(seq));
  await chat.start();
  const conversation = await chat.conversation("c");
  latest().breaks();
  await conversation.markRead(99_999);
  await assert.rejects(conversation.markRead(NaN), { code: "invalid_request" });
  await pass(1000);
  assert.deepEqual(latest().frames("mark_read").map(({ upToSeq }) => upToSeq), [3]);
});

test("what an earlier page has left is sent first", async () => {
  let adopted;
  const opening = new Promise((resolve) => (adopted = resolve));
  const { store } = noting();
  store.open = async (_, adopt) => {
    await opening;
    adopt([{ clientMessageId: "old", conversationId: "c", content: "old", state: "pending" }]);
  };
  chat = make({ outbox: store });
  await chat.start();
  void chat.send("c", "new").catch(() => {});
  assert.equal(latest().frames("send_message").length, 0);
  adopted();
  await settle();
  assert.deepEqual(latest().frames("send_message").map(({ content }) => content), ["old"]);
});

test("an outbox that never opens holds nothing up for long", async () => {
  const { store } = noting();
  store.open = () => new Promise(() => {});
  chat = make({ outbox: store });
  await chat.start();
  void chat.send("c", "new").catch(() => {});
  await pass(2000);
  chat.stop();
  await chat.start();
  await pass(2000);
  assert.equal(latest().frames("send_message").length, 0, "each start waits anew");
  await pass(1000);
  assert.deepEqual(latest().frames("send_message").map(({ content }) => content), ["new"]);
});

test("what is discarded after a stop does not come back", async () => {
  const { store, notes } = noting();
  chat = make({ outbox: store });
  await chat.start();
  await assert.rejects(chat.send("c", "x".repeat(40_000)), { code: "invalid_request" });
  store.left = [...chat.outgoing];
  chat.stop();
  chat.discard(store.left[0].clientMessageId);
  await chat.start();
  await settle();
  assert.deepEqual([chat.outgoing, notes.filter(([what]) => what === "delete").length], [[], 1]);
});

test("a client is one user's", async () => {
  await chat.start();
  const other = `header.${Buffer.from(JSON.stringify({ sub: "carol", exp: Date.now() / 1000 + 3600 })).toString("base64url")}.x`;
  chat = make({ token: () => (tokens++ === 1 ? tokenUntil(Date.now() + MINUTE) : other) });
  await chat.start();
  for (let second = 0; second < 60; second++) await pass(1000);
  assert.deepEqual([chat.connection.state, chat.connection.error?.code, chat.userId], ["failed", "unauthenticated", "alice"]);
});

test("a proxy that answers something else for a while ends nothing that has worked", async () => {
  await chat.start();
  Socket.refuse = true;
  refusal = { status: 404, body: undefined };
  latest().breaks();
  for (let second = 0; second < 10; second++) await pass(1000);
  assert.equal(chat.connection.state, "reconnecting");
});

test("a signal that is aborted lets nothing start", async () => {
  chat = make({ signal: AbortSignal.abort() });
  await assert.rejects(chat.start(), { code: "stopped" });
  assert.equal(Socket.all.length, 0);
});

test("a conversation that is far down the list costs one request", async () => {
  await chat.start();
  requests = [];
  summaries = [summary(), summary({ id: "old" })];
  const old = await chat.conversation("old");
  assert.equal(old.snapshot.summary.id, "old");
  assert.deepEqual(requests.filter((path) => !path.includes("/messages")), ["/api/conversations/old"]);
});

test("after a stop nobody types", async () => {
  await chat.start();
  const conversation = await chat.conversation("c");
  latest().says({ type: "user_typing", data: { conversationId: "c", userId: "bob", expiresInMs: 6000 } });
  assert.deepEqual(conversation.snapshot.typing, ["bob"]);
  chat.stop();
  assert.deepEqual(conversation.snapshot.typing, []);
});

test("nobody outside changes a message", async () => {
  stored = [message(1)];
  await chat.start();
  const conversation = await chat.conversation("c");
  const [shown] = conversation.snapshot.messages;
  const parts = [shown, shown.sender, shown.reactions, chat.conversations[0]];
  assert(parts.every(Object.isFrozen));
  latest().says({ type: "messages_read", data: { conversationId: "c", readerId: "alice", upToSeq: 1, readAt: "2026-11-22T12:01:00.000Z" } });
  assert(Object.isFrozen(conversation.snapshot.messages[0]));
});
