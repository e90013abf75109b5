// The documents in a real browser: what is found in them, and the console.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { somebody, tokenFor, until, url } from "./service.mjs";
import { fits, isAccessible, opened, shot } from "./windows.mjs";

const read = (name) => JSON.parse(readFileSync(`${process.env.DOCUMENTS}/${name}.json`, "utf8"));

async function documents(options) {
  const page = await opened("documents", { height: 800, width: 1400, ...options });
  await page.goto(`${url}/docs/`);
  await page.getByRole("heading", { name: "Switchboard for developers" }).waitFor();
  return page;
}

test("every frame, request and error is there, with an example", async () => {
  const page = await documents();
  const ids = [
    ...Object.keys(read("asyncapi").components.messages),
    ...Object.values(read("openapi").paths).flatMap(Object.values).map(({ operationId }) => operationId),
    ...Object.values(read("service").paths).flatMap(Object.values).map(({ operationId }) => `service-${operationId}`),
    ...read("errors").filter(({ example }) => example).map(({ code }) => `error-${code}`),
    "event",
  ];
  for (const id of ids) {
    assert.equal(await page.locator(`article#${id} h3`).count(), 1, id);
    assert((await page.locator(`article#${id} .panel pre`).count()) > 0, `${id} has an example`);
    assert.equal(await page.locator(`nav a[href="#${id}"]`).count(), 1, `${id} is in the contents`);
  }
  assert.match(await page.locator("article#send_message").textContent(), /content.*1 to 2000 characters/);
  assert.match(await page.locator("article#listMessages").textContent(), /before/);
  assert.match(await page.locator("article#service-makeConversation").textContent(), /clientConversationId.*title/s);
  const event = await page.locator("article#event").textContent();
  assert.match(event, /data object(?! or null)/);
  assert.match(event, /Standard Webhooks.*specversion.*unreadCount/s);
  // What is required comes first.
  const fields = await page.locator("article#send_message .fields dt > code").allTextContents();
  assert.deepEqual(fields.slice(0, 3).sort(), ["action", "content", "conversationId"]);
  // Hosts are those of this service.
  const text = await page.locator("main").textContent();
  assert(text.includes(url.replace("http", "ws")) && !text.includes(":8700"));
  // Samples in every language, and one is copied.
  const send = page.locator("article#send_message .samples").first();
  for (const [language, says] of [["Raw", '"action": "send_message"'], ["Client", "room.send"], ["Shell", "websocat"], ["Python", "websockets.sync.client"]]) {
    await send.getByRole("button", { name: language, exact: true }).click();
    assert((await send.locator("pre").textContent()).includes(says), language);
  }
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await send.getByRole("button", { name: "Copy" }).click();
  await send.getByRole("button", { name: "Copied" }).waitFor();
  assert((await page.evaluate(() => navigator.clipboard.readText())).includes("websockets.sync.client"));
  // The client's reference is made from its source.
  const reference = await page.locator("article#client-Room").textContent();
  for (const name of ["send(content, more?)", "markRead(upToSeq?)", "snapshot"]) assert(reference.includes(name), `${name} in ${reference.slice(0, 500)}`);
  assert.match(await page.locator("article#client-shapes").textContent(), /clientMessageId.*firstUnreadSeq/s);
  // Every link within the page leads somewhere.
  const dead = await page.locator('a[href^="#"]').evaluateAll((all) => all.map((link) => link.hash.slice(1)).filter((id) => !document.getElementById(id)));
  assert.deepEqual(dead, []);
  // No word runs into the next one: the templates drop white space with a line break in it.
  const glued = await page.locator(":is(p, li, dd) > :is(code, a, strong)").evaluateAll((all) =>
    all.flatMap(({ previousSibling: before, textContent, nextSibling: after }) => [
      ...(before?.nodeType === Node.TEXT_NODE && /[\w.,:;)]$/.test(before.data) ? [`${before.data.slice(-20)}|${textContent}`] : []),
      ...(after?.nodeType === Node.TEXT_NODE && /^[\w(]/.test(after.data) ? [`${textContent}|${after.data.slice(0, 20)}`] : []),
    ]),
  );
  assert.deepEqual(glued, []);
  await shot(page, "documents");
  await page.context().close();
});

test("they are searched, and linked to", async () => {
  const page = await documents();
  const search = page.getByLabel("Search in the documents");
  await search.fill("who types");
  await page.getByText("Nothing is called that.").waitFor();
  await search.fill("reaction");
  assert.deepEqual(await page.locator("nav li").allTextContents(), ["add_reaction", "remove_reaction", "message_changed", "Shapes"]);
  await page.getByRole("link", { name: "message_changed" }).first().click();
  assert(page.url().endsWith("#message_changed"));
  await page.reload();
  await until("it is in sight", async () => {
    const { y } = await page.locator("article#message_changed").boundingBox();
    return y > -5 && y < 400;
  });
  await page.context().close();
});

test("two people try frames in the console", async () => {
  const page = await documents({ sendsAnything: true });
  await page.locator("article#send_message").getByRole("button", { name: "Try send_message" }).click();
  const console = page.getByRole("region", { name: "Console" });
  await console.getByRole("button", { name: "Connect as two people" }).click();
  const log = console.getByRole("list", { name: "What was sent and what came" });
  await until("both have joined", async () => (await log.getByText("joined_conversation").count()) >= 2);
  await console.getByRole("button", { name: "Send", exact: true }).click();
  // The answer stands with the frame, and what the other one got beside it.
  const sent = log.getByRole("listitem").filter({ hasText: "console-ann sent send_message" });
  await sent.getByText(/answered after \d+ ms with new_message/).waitFor();
  await log.getByRole("listitem").filter({ hasText: "console-ben got new_message" }).waitFor();
  await shot(page, "documents-console");
  // Every frame of the documents is understood: with its ids filled in none is malformed.
  for (const name of ["add_reaction", "edit_message", "mark_read", "remove_reaction", "ping", "delete_message", "leave_conversation"]) {
    await page.locator(`article#${name}`).getByRole("button", { name: `Try ${name}` }).click();
    await console.getByRole("button", { name: "Send", exact: true }).click();
    const entry = log.getByRole("listitem").filter({ hasText: `console-ann sent ${name}` }).first();
    await entry.getByText(/answered after/).waitFor();
    assert(!/with error/.test(await entry.textContent()), await entry.textContent());
  }
  await page.locator("article#error-invalid_request").getByRole("button", { name: "Try invalid_request" }).click();
  await console.getByRole("button", { name: "Send", exact: true }).click();
  await log.getByText("content: must not be empty").first().waitFor();
  // Requests too, and what there is not.
  for (const [name, answer] of [["getConversation", "with 200"], ["listMessages", "with 200"], ["not_found", "with 404"], ["forbidden", "no conversation of yours"]]) {
    await page.getByRole("button", { name: `Try ${name}`, exact: true }).click();
    await console.getByRole("button", { name: "Send", exact: true }).click();
    await log.getByText(answer).first().waitFor();
  }
  await console.getByLabel("Frame").fill("no frame");
  await console.getByRole("button", { name: "Send", exact: true }).click();
  await console.getByText(/that is no JSON/).waitFor();
  // With a token, as for a service elsewhere.
  await console.getByText("With a token").click();
  await console.getByLabel("WebSocket URL").fill(`${url.replace("http", "ws")}/v1`);
  await console.getByLabel("Token", { exact: true }).fill("no token");
  await console.getByRole("button", { name: "Connect", exact: true }).click();
  await console.getByText(/the address or the token is wrong/).waitFor();
  await console.getByLabel("Token", { exact: true }).fill(await tokenFor(somebody("console")));
  await console.getByLabel("Frame").fill('{"action": "ping"}');
  await console.getByRole("button", { name: "Connect", exact: true }).click();
  await until("it is connected", async () => console.getByRole("button", { name: "Send", exact: true }).isEnabled());
  await console.getByLabel("Frame").press("Control+Enter");
  await log.getByText(/answered after \d+ ms with pong/).waitFor();
  await page.context().close();
});

test("they are read on every screen", async () => {
  for (const [name, screen] of Object.entries({ phone: { width: 390, height: 780 }, dark: { colorScheme: "dark" }, wide: { width: 2560, height: 1300 }, small: { width: 320, height: 256 } })) {
    const page = await documents(screen);
    await fits(page, name);
    await isAccessible(page, name);
    if (name === "phone") {
      // The content comes first.
      const { y } = await page.getByRole("heading", { name: "Switchboard for developers" }).boundingBox();
      assert(y < 200, `at ${y}`);
    }
    await shot(page, `documents-${name}`);
    await page.getByRole("button", { name: "Open the console" }).click();
    await fits(page, `${name}, with the console`);
    await isAccessible(page, `${name}, with the console`);
    await page.context().close();
  }
});
