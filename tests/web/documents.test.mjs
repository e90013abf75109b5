// The documents are what they say they are.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import specs from "@asyncapi/specs";
import Ajv from "ajv";

test("asyncapi.json is an AsyncAPI 3.0.0 document", () => {
  // The schema brings the one of draft 7 along.
  const ajv = new Ajv({ strict: false, validateFormats: false, meta: false, validateSchema: false });
  const valid = ajv.compile(specs.schemas["3.0.0"]);
  const document = JSON.parse(readFileSync(`${process.env.DOCUMENTS}/asyncapi.json`, "utf8"));
  assert(valid(document), ajv.errorsText(valid.errors));
  assert(!valid({ ...document, channels: 5 }), "and not everything is one");
});

test("every frame has a schema that refuses what is no such frame", async () => {
  const { documented } = await import("./documented.mjs");
  const id = "0197f1c0-0000-7000-8000-000000000000";
  documented("sent", JSON.stringify({ action: "send_message", conversationId: id, content: "hi" }));
  for (const wrong of [
    { action: "send_message", conversationId: id },
    { action: "send_message", conversationId: id, content: "" },
    { action: "send_message", conversationId: "x", content: "hi" },
    { action: "dance" },
  ]) {
    assert.throws(() => documented("sent", JSON.stringify(wrong)), JSON.stringify(wrong));
  }
  assert.throws(() => documented("received", JSON.stringify({ type: "user_online", data: { userId: "bob" } })));
});

test("an answer is held against its route and its status", async () => {
  const { documentedAnswer } = await import("./documented.mjs");
  const id = "0197f1c0-0000-7000-8000-000000000000";
  documentedAnswer("GET", "/api/conversations", 200, { conversations: [], nextCursor: null });
  documentedAnswer("DELETE", "/api/blocks", 204, undefined);
  for (const [wrong, ...answer] of [
    ["a field is missing", "GET", "/api/conversations", 200, { conversations: [] }],
    ["a route that there is not", "GET", "/api/people", 200, {}],
    ["a status that it does not have", "GET", `/api/conversations/${id}/messages`, 201, {}],
    ["a body where there is none", "PUT", "/api/blocks", 204, {}],
  ]) {
    assert.throws(() => documentedAnswer(...answer), wrong);
  }
});
