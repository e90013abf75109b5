// The hooks in React itself, with the service in memory.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { JSDOM } from "jsdom";

const dom = new JSDOM("<!doctype html><body></body>", { url: "http://localhost/", pretendToBeVisual: true });
Object.assign(globalThis, { window: dom.window, document: dom.window.document, localStorage: dom.window.localStorage });
dom.window.document.hasFocus = () => true;
// jsdom lays nothing out: everything is visible.
globalThis.IntersectionObserver = class {
  constructor(listener) {
    this.listener = listener;
  }

  observe() {
    queueMicrotask(() => this.listener([{ isIntersecting: true }]));
  }

  disconnect() {}
};

const { StrictMode, createElement: h, useEffect } = await import("react");
const { createRoot } = await import("react-dom/client");
const { renderToString } = await import("react-dom/server");
const { SwitchboardError, createSwitchboard } = await import("./client/switchboard.js");
const { createTestService } = await import("./client/testing.js");
const { SwitchboardProvider, useConnection, useConversation, useConversations, useDraft, usePresence, useReadWhenVisible, useSwitchboard, useTyping } = await import("./client/react.js");

/** Does something, and lets React render what follows from it. */
async function act(work) {
  await work();
  await new Promise((resolve) => setTimeout(resolve, 10));
}

const ends = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await act(end);
});

/** Tells when all effects below it have run. */
function Mounted({ mounted, children }) {
  useEffect(() => mounted(), [mounted]);
  return children;
}

/** Renders in StrictMode, and returns what is on the page. */
async function renders(element) {
  const box = document.createElement("div");
  const errors = [];
  let fails;
  // What cannot be rendered has no effects.
  const failed = new Promise((resolve) => (fails = resolve));
  const onUncaughtError = (error) => {
    errors.push(error);
    fails();
  };
  const root = createRoot(box, { onUncaughtError });
  ends.push(async () => root.unmount());
  const render = (element) =>
    act(() => {
      const done = new Promise((mounted) => root.render(h(StrictMode, null, h(Mounted, { mounted }, element))));
      return Promise.race([done, failed]);
    });
  await render(element);
  return { box, errors, render, text: () => box.textContent, unmount: () => act(async () => root.unmount()) };
}

async function until(what, isSo) {
  for (let n = 0; n < 2000; n++) {
    if (await isSo()) return;
    await act(() => new Promise((resolve) => setTimeout(resolve, 4)));
  }
  throw new Error(`it never was so: ${what}`);
}

/** A service, Alice's client, and Bob who is connected. */
async function people() {
  const service = createTestService();
  const bob = createSwitchboard(service.options("bob", { name: "Bob" }));
  await bob.start();
  const alice = createSwitchboard(service.options("alice", { name: "Alice" }));
  const id = await bob.find("alice");
  ends.push(async () => bob.stop());
  return { service, alice, bob, id, ofBob: await bob.conversation(id) };
}

const within = (client, ...children) => h(SwitchboardProvider, { client }, ...children);

function Talk({ id, seen = () => {} }) {
  const conversation = useConversation(id);
  seen(conversation);
  const { typing } = useTyping(id);
  const { state } = useConnection();
  const { unreadCount } = useConversations();
  const { online } = usePresence("bob");
  const words = conversation.messages.map(({ content }) => content).join("|");
  const outgoing = conversation.outgoing.map(({ content, state }) => `${content}:${state}`).join("|");
  return `${state} ${conversation.status} [${words}] {${outgoing}} typing:${typing} unread:${unreadCount} bob:${online}`;
}

test("a conversation is shown as it is, and renders once for each change", async () => {
  const { alice, bob, id, ofBob } = await people();
  await bob.send(id, "hello");
  let renders_ = 0;
  const page = await renders(within(alice, h(Talk, { id, seen: () => renders_++ })));
  await until("it is there", () => page.text() === "online ready [hello] {} typing: unread:1 bob:true");
  const before = renders_;
  await act(() => new Promise((resolve) => setTimeout(resolve, 50)));
  assert.equal(renders_, before, "nothing renders while nothing changes");
  await act(async () => ofBob.typing());
  await until("he types", () => page.text().includes("typing:bob"));
  await act(async () => void (await ofBob.send("and more")));
  await until("it comes", () => page.text().includes("[hello|and more]") && !page.text().includes("typing:bob"));
  assert(renders_ - before < 30, `${renders_ - before} renders`);
  await act(async () => bob.stop());
  await until("he is gone", () => page.text().includes("bob:false"));
  assert.deepEqual(page.errors, []);
});

test("in StrictMode there is one connection, and after unmounting none", async () => {
  const { service, alice, id } = await people();
  const page = await renders(within(alice, h(Talk, { id }), h(Talk, { id })));
  await until("both are ready", () => page.text().match(/online ready/g)?.length === 2);
  assert.equal(service.cutOff("alice"), 1);
  await until("it is back", () => page.text().match(/online ready/g)?.length === 2);
  await page.unmount();
  assert.equal(service.cutOff("alice"), 0);
  assert.equal(alice.connection.state, "idle");
});

test("another id shows another conversation, and none shows nothing", async () => {
  const { service, alice, bob, id } = await people();
  service.options("carol");
  const other = await bob.createGroup({ title: "Lunch", participantIds: ["alice"] });
  await bob.send(id, "in two");
  const page = await renders(within(alice, h(Talk, { id })));
  await until("one is there", () => page.text().includes("[in two]"));
  await bob.send(other, "in a group");
  await page.render(within(alice, h(Talk, { id: other })));
  await until("the other is there", () => page.text().includes("[in a group]"));
  await page.render(within(alice, h(Talk, { id: undefined })));
  assert.match(page.text(), /idle \[\]/);
});

/** Alice on the page of a group that Bob has just removed her from. */
async function removed() {
  const { alice, bob } = await people();
  const group = await bob.createGroup({ title: "Lunch", participantIds: ["alice"] });
  const ofGroup = await bob.conversation(group);
  const page = await renders(within(alice, h(Talk, { id: group })));
  await until("it is ready", () => page.text().includes("ready"));
  await act(() => ofGroup.remove("alice"));
  await until("she is out", () => page.text().includes("gone"));
  return { alice, ofGroup, page };
}

test("who is removed is told, and what is none of theirs fails", async () => {
  const { alice, page } = await removed();
  let error;
  await page.render(within(alice, h(Talk, { id: "0197f1c0-0000-7000-8000-000000000000", seen: (conversation) => (error = conversation.error) })));
  await until("it fails", () => page.text().includes("failed"));
  assert.equal(error.code, "forbidden");
});

test("a client that has failed shows everything after the next start", async () => {
  const { service, bob, id } = await people();
  await bob.send(id, "hello");
  let isSignedIn = false;
  const options = service.options("alice");
  const token = () => {
    if (!isSignedIn) throw new SwitchboardError("unauthenticated", "sign in");
    return options.token();
  };
  const alice = createSwitchboard({ ...options, token });
  const page = await renders(within(alice, h(Talk, { id })));
  await until("it has failed", () => page.text().startsWith("failed failed"));
  isSignedIn = true;
  await act(() => alice.start());
  await until("it is there", () => page.text().includes("online ready [hello]"));
});

test("what is seen is read, and what is not seen is not", async () => {
  const { alice, bob, id } = await people();
  function Reader() {
    const end = useReadWhenVisible(id);
    return h("p", { ref: end }, useConversations().unreadCount);
  }
  await bob.send(id, "hello");
  document.hasFocus = () => false;
  const page = await renders(within(alice, h(Reader)));
  await until("it is unread", () => page.text() === "1");
  await act(() => new Promise((resolve) => setTimeout(resolve, 50)));
  assert.equal(page.text(), "1");
  document.hasFocus = () => true;
  await act(async () => window.dispatchEvent(new window.Event("focus")));
  await until("it is read", () => page.text() === "0");
  await bob.send(id, "again");
  await until("so is what comes next", () => page.text() === "0" && alice.conversations[0].lastSeq === 2);
});

test("a draft is its writer's own, and is there again after a reload", async () => {
  const { service, alice, id } = await people();
  function Writer() {
    const [text, setText] = useDraft(id);
    return h("input", { value: text, onChange: () => {}, ref: (input) => void (input && (input.write = setText)) });
  }
  const page = await renders(within(alice, h(Writer)));
  const input = () => page.box.querySelector("input");
  await until("she is known", () => alice.connection.state === "online");
  await act(async () => input().write("not yet"));
  assert.equal(input().value, "not yet");
  await page.unmount();
  const again = await renders(within(createSwitchboard(service.options("alice")), h(Writer)));
  await until("it is there", () => again.box.querySelector("input").value === "not yet");
  const other = await renders(within(createSwitchboard(service.options("carol")), h(Writer)));
  await act(() => new Promise((resolve) => setTimeout(resolve, 50)));
  assert.equal(other.box.querySelector("input").value, "");
  await act(async () => again.box.querySelector("input").write(""));
  assert.equal(localStorage.length, 0);
});

/** A field with the draft of a conversation. */
function Draft({ id }) {
  const [text, setText] = useDraft(id);
  return h("input", { value: text, onChange: () => {}, ref: (input) => void (input && (input.write = setText)) });
}

test("a draft from before the user is known stays in its conversation, and wins over an older one", async () => {
  const { service, id } = await people();
  const key = `switchboard draft alice ${id}`;
  localStorage.setItem(key, "old");
  service.goOffline();
  let give;
  const given = new Promise((resolve) => (give = resolve));
  const options = service.options("alice");
  const alice = createSwitchboard({ ...options, token: () => given });
  const page = await renders(within(alice, h(Draft, { id })));
  const input = () => page.box.querySelector("input");
  await act(async () => input().write("secret"));
  await page.render(within(alice, h(Draft, { id: "another" })));
  assert.equal(input().value, "");
  await page.render(within(alice, h(Draft, { id })));
  await act(async () => input().write("typed before"));
  give(options.token());
  await until("the user is known", () => alice.userId === "alice" && localStorage.getItem(key) === "typed before");
  assert.equal(input().value, "typed before");
  localStorage.clear();
});

test("where storage is forbidden a draft is kept on the screen", async () => {
  const { alice, id } = await people();
  const kept = Object.getOwnPropertyDescriptor(globalThis, "localStorage");
  Object.defineProperty(globalThis, "localStorage", { configurable: true, get: () => { throw new DOMException("no", "SecurityError"); } });
  const page = await renders(within(alice, h(Draft, { id })));
  await until("she is known", () => alice.connection.state === "online");
  await act(async () => page.box.querySelector("input").write("still here"));
  assert.equal(page.box.querySelector("input").value, "still here");
  assert.deepEqual(page.errors, []);
  Object.defineProperty(globalThis, "localStorage", kept);
});

test("a conversation that was waited for during a stop is there after the next start", async () => {
  const { service, alice, id } = await people();
  service.goOffline();
  const page = await renders(within(alice, h(Talk, { id })));
  await act(async () => alice.stop());
  await until("it is told", () => page.text().startsWith("idle failed"));
  service.goOnline();
  await act(() => alice.start());
  await until("it is there", () => page.text().startsWith("online ready"));
});

test("who is added again sees the conversation again", async () => {
  const { ofGroup, page } = await removed();
  await act(() => ofGroup.add(["alice"]));
  await until("she is in again", () => page.text().includes("ready"));
  await act(async () => void (await ofGroup.send("welcome back")));
  await until("she hears it", () => page.text().includes("[welcome back]"));
});

test("what is shown stays when the client fails, and what has failed can be discarded", async () => {
  const { service, bob, id } = await people();
  await bob.send(id, "hello");
  const options = service.options("alice");
  let isSignedOut = false;
  const token = () => {
    if (isSignedOut) throw new SwitchboardError("unauthenticated", "sign in");
    return options.token();
  };
  const alice = createSwitchboard({ ...options, token, random: () => 0 });
  let conversation;
  const page = await renders(within(alice, h(Talk, { id, seen: (seen) => (conversation = seen) })));
  await until("it is there", () => page.text().includes("ready [hello]"));
  service.failNext("send_message", { code: "forbidden", message: "no", retryable: false });
  await act(async () => void conversation.send("refused").catch(() => {}));
  await until("it is refused", () => page.text().includes("{refused:failed}"));
  isSignedOut = true;
  service.goOffline();
  await until("it has failed", () => page.text().startsWith("failed"));
  assert.match(page.text(), /^failed ready \[hello\] \{refused:failed\}/);
  await act(async () => conversation.discard(alice.outgoing[0].clientMessageId));
  assert.match(page.text(), /\{\}/);
});

test("what is sent is shown until it is stored, also before the conversation is open", async () => {
  const { service, alice, id } = await people();
  let send;
  service.goOffline();
  const page = await renders(within(alice, h(Talk, { id, seen: (conversation) => ({ send } = conversation) })));
  await act(async () => void send("into nothing").catch(() => {}));
  assert.match(page.text(), /loading \[\] \{into nothing:pending\}/);
  service.goOnline();
  await act(async () => alice.retry());
  await until("it is stored", () => page.text().includes("[into nothing] {}"));
});

test("on the server everything is empty, and nothing is connected", async () => {
  const { service, alice, id } = await people();
  const html = renderToString(within(alice, h(Talk, { id }), h(() => useDraft(id)[0]), h(() => useSwitchboard() && "client")));
  assert.match(html.replaceAll("<!-- -->", ""), /^idle loading \[\] \{\} typing: unread:0 bob:falseclient$/);
  assert.equal(service.cutOff("alice"), 0);
});

test("a hook without a provider says what is missing", async () => {
  assert.throws(() => renderToString(h(() => useConnection().state)), /there is no <SwitchboardProvider>/);
});
