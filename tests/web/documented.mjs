// Holds frames against asyncapi.json, and answers of the HTTP API against openapi.json. Both are in DOCUMENTS.

import { readFileSync } from "node:fs";

import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const read = (name) => JSON.parse(readFileSync(`${process.env.DOCUMENTS}/${name}.json`, "utf8"));
const [asyncapi, openapi] = [read("asyncapi"), read("openapi")];
const ajv = addFormats(new Ajv2020({ strict: false, logger: false }));
// A schema with what it refers to.
const validator = (schema, { components }) => ajv.compile({ ...schema, components });
const frames = new Map(Object.entries(asyncapi.components.messages).map(([name, { payload }]) => [name, validator(payload, asyncapi)]));
const answers = new Map();

/**
 * Throws unless a frame is as the document says.
 *
 * @param {"sent" | "received"} direction
 * @param {string} text
 */
export function documented(direction, text) {
  const frame = JSON.parse(text);
  const name = (direction === "sent" ? frame.action : frame.type) ?? "gateway";
  hold(name, frames.get(name), frame);
}

/**
 * Throws unless an answer of the HTTP API is as the document says.
 *
 * @param {string} method
 * @param {string} path
 * @param {number} status
 * @param {unknown} body
 */
export function documentedAnswer(method, path, status, body) {
  const route = Object.keys(openapi.paths).find((route) => new RegExp(`^${route.replace(/\{\w+\}/g, "(?!find-or-create)[^/]+")}$`).test(path));
  const name = `${method} ${route} ${status}`;
  const response = openapi.paths[route]?.[method.toLowerCase()]?.responses[status];
  if (!response) throw new Error(`${name} is not in the document: ${path}`);
  const schema = response.content?.["application/json"].schema;
  if (!schema) {
    if (body !== undefined) throw new Error(`${name} has no body`);
    return;
  }
  if (!answers.has(name)) answers.set(name, validator(schema, openapi));
  hold(name, answers.get(name), body);
}

function hold(name, valid, value) {
  if (!valid) throw new Error(`${name} is not in the document`);
  if (!valid(value)) throw new Error(`${name} is not as the document says: ${ajv.errorsText(valid.errors)}: ${JSON.stringify(value)}`);
}
