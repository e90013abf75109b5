// The app of a newcomer (app/), built with the packed client, in a real browser. Its files are in APP.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { chromium } from "playwright-core";

import { somebody, until, url } from "./service.mjs";

let browser, server, origin;
const problems = [];

before(async () => {
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  const types = { js: "text/javascript", html: "text/html" };
  server = createServer(async ({ url }, response) => {
    const { pathname } = new URL(url, "http://localhost");
    const file = pathname === "/" ? "/index.html" : pathname;
    const body = await readFile(process.env.APP + file).catch(() => undefined);
    response.writeHead(body ? 200 : 404, { "content-type": types[file.split(".").at(-1)] ?? "text/plain" }).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  // Another origin than the service's.
  origin = `http://localhost:${server.address().port}`;
});

after(async () => {
  await browser.close();
  server.close();
  assert.deepEqual(problems, [], "no page has complained");
});

/** The app of somebody who talks to somebody else. What they send is lost while `held.sends` is true. */
async function opens(context, me, other, held = { sends: false }, more = {}) {
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on("pageerror", (error) => problems.push(`${me}: ${error.message}`));
  page.on("console", (said) => said.type() === "error" && !/404|Failed to load resource/.test(said.text()) && problems.push(`${me}: ${said.text()}`));
  await page.routeWebSocket(/\/v1/, (socket) => {
    const service = socket.connectToServer();
    socket.onMessage((frame) => {
      if (!(held.sends && JSON.parse(frame).action === "send_message")) service.send(frame);
    });
  });
  await page.goto(`${origin}/?${new URLSearchParams({ me, other, service: url, ...more })}`);
  return page;
}

async function pair() {
  const [a, b] = [somebody("alice"), somebody("bob")];
  const contexts = [await browser.newContext(), await browser.newContext()];
  const held = { sends: false };
  const [alice, bob] = await Promise.all([opens(contexts[0], a, b, held), opens(contexts[1], b, a)]);
  await Promise.all([alice, bob].map((page) => page.getByLabel("Message").waitFor()));
  return { a, b, alice, bob, contexts, held, close: () => Promise.all(contexts.map((context) => context.close())) };
}

const write = (page, text) => page.getByLabel("Message").fill(text);
async function say(page, text) {
  await write(page, text);
  await page.keyboard.press("Enter");
}
const shows = (page, text) => page.getByText(text).first().waitFor();
const said = async (page) => (await page.locator("form > p:has(b)").allTextContents()).map((text) => text.replace(/^\S+ /, "").replace(/ ✓*$/, ""));

test("two people talk, see who types and is there, and what is unread", async () => {
  const { a, b, alice, bob, close } = await pair();
  await alice.getByRole("heading", { name: `${b} ●` }).waitFor();
  // Each key tells it, once both have the conversation open.
  await until("he sees her type", async () => {
    await alice.getByLabel("Message").press("H");
    return (await bob.getByText(`${a} is typing …`).count()) > 0;
  });
  await say(alice, "Hello!");
  await shows(bob, "Hello!");
  await bob.getByText(`${a} is typing …`).waitFor({ state: "detached" });
  await say(bob, "Hello to you!");
  await shows(alice, "Hello to you!");
  await shows(alice, "Hello! ✓✓");
  // Who does not look has not read.
  await bob.evaluate(() => {
    document.hasFocus = () => false;
  });
  await say(alice, "Are you there?");
  await bob.getByRole("heading", { name: "(1)" }).waitFor();
  await shows(alice, "Are you there? ✓");
  await bob.evaluate(() => {
    delete document.hasFocus;
    window.dispatchEvent(new Event("focus"));
  });
  await shows(alice, "Are you there? ✓✓");
  await bob.close();
  await alice.getByRole("heading", { name: `${b} ○` }).waitFor();
  await alice.screenshot({ path: `${process.env.SCREENSHOTS}/app.png` });
  await close();
});

test("what is written and not sent is there after a reload, for its writer only", async () => {
  const { b, alice, contexts, close } = await pair();
  await write(alice, "not yet");
  await alice.reload();
  await until("it is there", async () => (await alice.getByLabel("Message").inputValue()) === "not yet");
  const other = await opens(contexts[0], somebody("carol"), b);
  await other.getByLabel("Message").waitFor();
  assert.equal(await other.getByLabel("Message").inputValue(), "");
  await close();
});

test("what was sent without an answer survives a reload, and is stored once and in order", async () => {
  const { alice, bob, held, close } = await pair();
  held.sends = true;
  for (const text of ["one", "two", "three"]) await say(alice, text);
  await shows(alice, "three (pending)");
  await alice.reload();
  await shows(alice, "three (pending)");
  held.sends = false;
  await alice.reload();
  await alice.getByText("(pending)").first().waitFor({ state: "detached" });
  await shows(bob, "three");
  for (const page of [alice, bob]) assert.deepEqual(await said(page), ["one", "two", "three"]);
  await alice.reload();
  await shows(alice, "three");
  assert.deepEqual(await said(alice), ["one", "two", "three"], "nothing is left over");
  await close();
});

test("what a tab leaves that ends is sent by another one", async () => {
  const { a, b, alice, bob, contexts, held, close } = await pair();
  const other = await opens(contexts[0], a, b);
  await other.getByLabel("Message").waitFor();
  held.sends = true;
  await say(alice, "from the one that ends");
  await shows(alice, "(pending)");
  await say(other, "from the one that stays");
  await shows(bob, "from the one that stays");
  assert.equal(await bob.getByText("from the one that ends").count(), 0);
  await alice.close();
  await shows(bob, "from the one that ends");
  await shows(other, "from the one that ends ✓");
  assert.equal(await other.getByText("(pending)").count(), 0);
  await close();
});

test("a tab that crashes loses nothing", async () => {
  const { a, b, alice, bob, contexts, held, close } = await pair();
  held.sends = true;
  await say(alice, "just before");
  await shows(alice, "(pending)");
  await Promise.all([alice.waitForEvent("crash"), alice.goto("chrome://crash").catch(() => {})]);
  await alice.close();
  const again = await opens(contexts[0], a, b);
  await shows(again, "just before ✓");
  await shows(bob, "just before");
  assert.deepEqual(await said(bob), ["just before"]);
  await close();
});

test("tabs of one person share a connection, and the next one leads when the leader is closed", async () => {
  const { b, contexts, close } = await pair();
  const carol = somebody("carol");
  const context = contexts[0];
  const tabs = [];
  for (let n = 0; n < 3; n++) tabs.push(await opens(context, carol, b, undefined, { tabs: "leader" }));
  await Promise.all(tabs.map((page) => page.getByLabel("Message").waitFor()));
  const connections = async () => {
    const { connections } = await (await fetch(`${url}/dev/connections`)).json();
    return connections.filter(({ authorizer }) => authorizer.userId === carol).length;
  };
  await until("there is one connection", async () => (await connections()) === 1);
  await say(tabs[1], "from the second");
  for (const page of tabs) await shows(page, "from the second ✓");
  await tabs[0].close();
  await say(tabs[2], "after the first is closed");
  for (const page of tabs.slice(1)) await shows(page, "after the first is closed ✓");
  await until("there is one connection", async () => (await connections()) === 1);
  const said = await opens(contexts[1], b, carol);
  await shows(said, "after the first is closed");
  assert.equal(await said.getByText("from the second").count(), 1);
  await close();
});
