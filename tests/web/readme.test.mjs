// The client in the README does what the README says.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";

import WebSocket from "ws";

import { connected, url } from "./service.mjs";

const bob = await connected("bob");

test("the client of the README talks to Bob", async () => {
  const readme = readFileSync(process.env.README, "utf8");
  const [, example] = readme.match(/```js\n([^]*?)```/);
  // Node has a WebSocket of its own from 22 on, and the stack is at another port here.
  globalThis.WebSocket ??= WebSocket;
  writeFileSync("readme-example.mjs", `${example.replaceAll("http://localhost:8700", url).replaceAll("ws://localhost:8700", url.replace("http", "ws"))}\nexport { chat };`);
  const said = [];
  const log = console.log;
  console.log = (...words) => said.push(words.join(" "));
  try {
    const { chat } = await import("./readme-example.mjs");
    chat.stop();
  } finally {
    console.log = log;
  }
  assert.deepEqual(said, ["alice: Hello, Bob!", "1 messages, 0 unread"]);
});
