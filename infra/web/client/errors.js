// Errors.

// @ts-check

/** The bounds of `retryAfterMs`: values outside are raised or lowered to them. */
const SHORTEST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 120_000;

/** The codes of errors that a repeat gets again. */
export const REFUSALS = new Set(["invalid_request", "forbidden", "not_found"]);
/** The codes of errors after which there is no use in connecting again. */
const FINAL = new Set(["unauthenticated", "misconfigured"]);

/**
 * @typedef {"invalid_request" | "unauthenticated" | "token_expired" | "forbidden" | "not_found" | "rate_limited" | "unavailable" |
 *   "internal" | "timeout" | "disconnected" | "gateway" | "conflict" | "token_unavailable" | "misconfigured" | "stopped" |
 *   (string & {})} ErrorCode the service may have others in time
 */

/** An error of the service, or of the way to it. */
export class SwitchboardError extends Error {
  /**
   * @param {ErrorCode} code one of the service's codes, or `timeout`, `disconnected`, `gateway`, `conflict`,
   *   `token_unavailable`, `misconfigured` or `stopped`
   * @param {string} message for people
   * @param {{retryable?: boolean, retryAfterMs?: number | undefined, cause?: unknown}} [more]
   */
  constructor(code, message, { retryable = false, retryAfterMs, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "SwitchboardError";
    this.code = code;
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * The error in an error frame. Missing and malformed fields are left out.
 *
 * @param {{error?: any}} frame
 */
export function errorOf({ error }) {
  const text = (/** @type {unknown} */ value, /** @type {string} */ otherwise) => (typeof value === "string" ? value : otherwise);
  const wait = error?.retryAfterMs;
  const retryAfterMs = Number.isFinite(wait) ? Math.min(Math.max(wait, SHORTEST_WAIT_MS), LONGEST_WAIT_MS) : undefined;
  const message = text(error?.message, "the service gave no reason");
  return new SwitchboardError(text(error?.code, "internal"), message, { retryable: error?.retryable === true, retryAfterMs });
}

/** @param {unknown} error */
export function isFinal(error) {
  return error instanceof SwitchboardError && FINAL.has(error.code);
}

/**
 * What was thrown, as an error of this client.
 *
 * @param {unknown} thrown
 */
export function asError(thrown) {
  return thrown instanceof SwitchboardError ? thrown : new SwitchboardError("disconnected", String(thrown), { retryable: true, cause: thrown });
}

export function lost() {
  return new SwitchboardError("disconnected", "the connection was lost", { retryable: true });
}

/** @param {string} field */
export function malformed(field) {
  return new SwitchboardError("gateway", `the service sent a malformed ${field}`);
}

export function gone() {
  return new SwitchboardError("forbidden", "you do not take part in this conversation any more");
}
