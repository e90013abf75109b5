// Holds frames against asyncapi.json.

import { readFileSync } from "node:fs";

import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const document = JSON.parse(readFileSync(process.env.ASYNCAPI, "utf8"));
const ajv = addFormats(new Ajv2020({ strict: false }));
const validators = new Map(
  Object.entries(document.components.messages).map(([name, { payload }]) => [
    name,
    // With what it refers to.
    ajv.compile({ ...payload, components: document.components }),
  ]),
);

/**
 * Throws unless a frame is as the document says.
 *
 * @param {"sent" | "received"} direction
 * @param {string} text
 */
export function documented(direction, text) {
  const frame = JSON.parse(text);
  const name = (direction === "sent" ? frame.action : frame.type) ?? "gateway";
  const valid = validators.get(name);
  if (!valid) throw new Error(`${name} is not in the document`);
  if (!valid(frame)) throw new Error(`${name} is not as the document says: ${ajv.errorsText(valid.errors)}: ${text}`);
}
