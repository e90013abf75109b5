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
  const document = JSON.parse(readFileSync(process.env.ASYNCAPI, "utf8"));
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
