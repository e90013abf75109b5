// What comes from outside is looked at before anything relies on it.

// @ts-check

import { malformed } from "./errors.js";

/**
 * Looks at a message, which nobody changes from then on. Throws if a field that every message has is missing: a message without `seq` would leave a gap that is never filled.
 *
 * @param {any} message
 */
export function check(message) {
  strings({ id: message?.id, conversationId: message?.conversationId });
  integers({ seq: message?.seq });
  if (!Array.isArray(message.reactions)) throw malformed("reactions");
  // Applications get it as it is.
  for (const part of [message, message.sender, message.reactions, ...message.reactions]) Object.freeze(part);
}

/** @param {Record<string, unknown>} fields */
export function strings(fields) {
  for (const [name, value] of Object.entries(fields)) if (typeof value !== "string") throw malformed(name);
}

/** @param {Record<string, unknown>} fields */
export function integers(fields) {
  for (const [name, value] of Object.entries(fields)) if (!Number.isInteger(value)) throw malformed(name);
}

/**
 * The id of a conversation as the service writes it.
 *
 * @param {string} id
 */
export function canonical(id) {
  const digits = id.toLowerCase().replace(/^urn:uuid:|[{}-]/g, "");
  if (!/^[0-9a-f]{32}$/.test(digits)) return id;
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** A new id of 32 hexadecimal digits. Browsers have `crypto.randomUUID` only on encrypted pages and localhost. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The fields that are given.
 *
 * @template {object} T
 * @param {T} fields
 * @returns {{[K in keyof T]?: Exclude<T[K], undefined>}}
 */
export function given(fields) {
  return /** @type {any} */ (Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)));
}

/** @param {number} delay in milliseconds */
export function pause(delay) {
  return new Promise((resolve) => setTimeout(resolve, delay));
}
