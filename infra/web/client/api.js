// The HTTP API, and the token that opens both APIs.

// @ts-check

import { canonical } from "./checks.js";
import { SwitchboardError, asError } from "./errors.js";

const SECOND = 1000;
/** A token is replaced this long before it expires; if a tenth of its life is less, by that. */
const BEFORE_EXPIRY_MS = 60 * SECOND;
/** The time limit of a request. */
const REQUEST_TIMEOUT_MS = 15 * SECOND;

export class Api {
  #base;
  #ask;
  #fetch;
  #knownUser;
  /** @type {{token: string, renewAt: number} | undefined} */
  #known;
  /** Whose token it is; known once there is one. */
  userId = "";

  /**
   * @param {string} base
   * @param {() => string | Promise<string>} ask asks the application for a token
   * @param {typeof fetch} fetch
   * @param {(userId: string) => void} known takes whose token it is, whenever there is another one
   */
  constructor(base, ask, fetch, known) {
    this.#base = base;
    this.#ask = ask;
    this.#fetch = fetch;
    this.#knownUser = known;
  }

  /** When the present token has to be replaced, in milliseconds since 1970. */
  get renewAt() {
    return this.#known?.renewAt ?? Infinity;
  }

  /** Asks for another token the next time. */
  forgetToken() {
    this.#known = undefined;
  }

  /** A token that is valid now. */
  async token() {
    if (!this.#known || this.#known.renewAt <= Date.now()) {
      const token = await this.#asked();
      const claims = claimsOf(token);
      // What is shown, and what waits to be sent, is the first user's.
      if (this.userId && this.userId !== claims.sub) throw new SwitchboardError("unauthenticated", "token() gave the token of another user: make another client");
      this.userId = claims.sub;
      // Counted from the token's own `iat`, if it has one: this clock may be wrong.
      const life = claims.iat === undefined ? claims.exp * SECOND - Date.now() : (claims.exp - claims.iat) * SECOND;
      this.#knownUser(claims.sub);
      this.#known = { token, renewAt: Date.now() + life - Math.min(BEFORE_EXPIRY_MS, life / 10) };
    }
    return this.#known.token;
  }

  async #asked() {
    /** @type {any} */
    let timer;
    const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error("token() took too long")), REQUEST_TIMEOUT_MS)));
    try {
      return /** @type {string} */ (await Promise.race([this.#ask(), late]));
    } catch (error) {
      if (error instanceof SwitchboardError) throw error;
      const message = error instanceof Error ? error.message : String(error);
      throw new SwitchboardError("token_unavailable", message, { retryable: true, cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * @param {string} path
   * @param {string} [method]
   * @param {object} [body]
   * @param {boolean} [again] whether a new token has been asked for already
   * @returns {Promise<any>}
   */
  async request(path, method = "GET", body, again = false) {
    const headers = { authorization: `Bearer ${await this.token()}`, "content-type": "application/json" };
    const { answer, answered } = await this.#answer(path, { method, headers, body: body && JSON.stringify(body) });
    if (answer.status === 204) return undefined;
    const isObject = typeof answered === "object" && answered !== null;
    if (answer.ok && isObject) return answered;
    // A proxy answered, or the response was cut off.
    if (answer.ok) throw new SwitchboardError("gateway", `${path} was answered with something else`, { retryable: true });
    const message = answered?.error?.message ?? answered?.message ?? `status ${answer.status}`;
    if (answer.status === 401) {
      this.forgetToken();
      if (!again) return this.request(path, method, body, true);
      throw new SwitchboardError("unauthenticated", message);
    }
    const retryable = answer.status === 429 || answer.status >= 500;
    throw new SwitchboardError(answered?.error?.code ?? "gateway", message, { retryable });
  }

  /**
   * @param {string} path
   * @param {{method: string, headers: Record<string, string>, body: string | undefined}} request
   * @returns {Promise<{answer: Response, answered: any}>}
   */
  async #answer(path, request) {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new SwitchboardError("timeout", `${path} was not answered in time`, { retryable: true })), REQUEST_TIMEOUT_MS);
    try {
      const answer = await this.#fetch(this.#base + path, /** @type {RequestInit} */ ({ ...request, signal: late.signal }));
      return { answer, answered: await answer.json().catch(() => undefined) };
    } catch (error) {
      throw asError(error);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Finds out why no connection can be opened, which the WebSocket does not tell.
   *
   * @returns {Promise<SwitchboardError | undefined>} an error that a repeat gets again
   */
  async diagnosis() {
    const error = await this.request("/api/conversations?limit=1").then(() => undefined, asError);
    if (error === undefined || error.retryable) return undefined;
    if (error.code === "unauthenticated") return new SwitchboardError("unauthenticated", `the token is refused: ${error.message}`);
    return new SwitchboardError("misconfigured", `${this.#base} is not the HTTP API of Switchboard: ${error.message}`);
  }
}

/** @param {string} conversationId */
export function at(conversationId) {
  return `/api/conversations/${encodeURIComponent(canonical(conversationId))}`;
}

/**
 * @param {string} token
 * @returns {{sub: string, exp: number, iat?: number}}
 */
function claimsOf(token) {
  try {
    const bytes = atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"));
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0))));
    if (typeof claims.sub === "string" && Number.isFinite(claims.exp)) return claims;
  } catch {
    // Told below. The token itself is nobody's business.
  }
  throw new SwitchboardError("unauthenticated", "token() gave something that is no JSON Web Token with `sub` and `exp`");
}
