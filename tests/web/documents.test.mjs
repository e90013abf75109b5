// The documents are what they say they are.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import specs from "@asyncapi/specs";
import Ajv from "ajv";
import addFormats from "ajv-formats";
import Ajv2020 from "ajv/dist/2020.js";

const read = (name) => JSON.parse(readFileSync(`${process.env.DOCUMENTS}/${name}.json`, "utf8"));

test("asyncapi.json is an AsyncAPI 3.0.0 document", () => {
  // The schema brings the one of draft 7 along.
  const ajv = new Ajv({ strict: false, validateFormats: false, meta: false, validateSchema: false });
  const valid = ajv.compile(specs.schemas["3.0.0"]);
  const document = read("asyncapi");
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

test("every frame and every request has an example that is as its schema says", async () => {
  const { documented } = await import("./documented.mjs");
  for (const [name, { examples, "x-answers": answers = {} }] of Object.entries(read("asyncapi").components.messages)) {
    assert.equal(examples?.length, 1, name);
    documented(examples[0].payload.action ? "sent" : "received", JSON.stringify(examples[0].payload));
    for (const frame of Object.values(answers)) documented("received", JSON.stringify(frame));
  }
  const ajv = addFormats(new Ajv2020({ strict: false, logger: false }));
  for (const document of [read("openapi"), read("service")]) {
    const { components, paths, webhooks } = document;
    const hold = (what, { schema, example }) => {
      assert(example !== undefined, `${what} has no example`);
      const valid = ajv.compile({ ...schema, components });
      assert(valid(example), `${what}: ${ajv.errorsText(valid.errors)}`);
    };
    for (const [path, methods] of Object.entries({ ...paths, ...webhooks })) {
      for (const { operationId, requestBody, responses, parameters = [] } of Object.values(methods)) {
        const what = `${path} ${operationId}`;
        for (const content of Object.values(requestBody?.content ?? {})) hold(`the body of ${what}`, content);
        const answered = Object.entries(responses).filter(([, { content }]) => content?.["application/json"].example !== undefined);
        for (const [status, { content }] of answered) hold(`the answer ${status} of ${what}`, content["application/json"]);
        const [good, refused] = [answered.filter(([status]) => status < 400), answered.filter(([status]) => status >= 400)];
        assert(responses[204] || responses["2XX"] || good.length === 1, `${what} has ${good.length} examples of answers`);
        assert(responses["2XX"] || refused.length === 1, `${what} has ${refused.length} examples of refusals`);
        for (const parameter of parameters.filter((one) => one.in === "path")) hold(`${parameter.name} of ${what}`, parameter);
      }
    }
  }
});

test("every code is explained", () => {
  const { enum: names, oneOf = [] } = read("asyncapi").components.schemas.Code;
  const codes = names ?? oneOf.map((one) => one.const);
  assert.deepEqual(read("errors").map(({ code }) => code), codes);
  for (const { code, meaning, whatToDo, howToSeeIt, example } of read("errors")) {
    assert(meaning && whatToDo && howToSeeIt, code);
    assert(example || code === "internal", code);
  }
});
