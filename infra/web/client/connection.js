// One WebSocket connection: frames go out with an id, and each answer finds the frame that it is for.

// @ts-check

import { SwitchboardError, errorOf, lost } from "./errors.js";

/** The time limit of an answer, in milliseconds: longer than the service's own limits together. */
const ANSWER_TIMEOUT_MS = 25_000;
/** The time limit of a handshake, in milliseconds. */
const OPEN_TIMEOUT_MS = 15_000;

/** The largest frame in bytes. API Gateway closes the connection over a larger one, and browsers do not split messages. */
const LARGEST_FRAME = 32 * 1024;

/** The close codes (RFC 6455, section 7.4.1) that blame a frame of this client. */
const BLAMES_WHAT_WAS_SENT = new Set([1002, 1003, 1007, 1008, 1009, 1010]);

/**
 * @typedef {{type: string, id?: string, data?: any, error?: any, message?: string}} Frame
 * @typedef {{event: (frame: Frame) => void, closed: () => void, problem: (error: SwitchboardError) => void}} Listener
 * @typedef {{resolve: (data: any) => void, reject: (error: SwitchboardError) => void, timer: any}} Waiting
 */

export class Connection {
  #socket;
  #listener;
  /** @type {Map<string, Waiting>} */
  #waiting = new Map();
  #count = 0;
  #ended = false;
  /** The number of frames received. */
  #received = 0;
  /** When the last frame was received, in milliseconds since 1970. */
  receivedAt = Date.now();
  /** Whether it was closed because of a frame that was sent on it. */
  wasBlamed = false;

  /**
   * @param {WebSocket} socket an open one
   * @param {Listener} listener
   */
  constructor(socket, listener) {
    this.#socket = socket;
    this.#listener = listener;
    socket.onmessage = (message) => this.#receive(message.data);
    socket.onclose = (event) => {
      this.wasBlamed = BLAMES_WHAT_WAS_SENT.has(event?.code);
      this.#end();
    };
  }

  /**
   * The error of a frame that is too large to be sent; undefined if it can be sent.
   *
   * @param {string} action
   * @param {object} fields
   */
  static refusal(action, fields) {
    // With the longest id there may be: tabs that share a connection put something before it.
    const size = new TextEncoder().encode(JSON.stringify({ action, id: "0".repeat(64), ...fields })).length;
    if (size <= LARGEST_FRAME) return undefined;
    return new SwitchboardError("invalid_request", `${action} is too large: ${size} bytes, and ${LARGEST_FRAME} fit a frame`);
  }

  /**
   * Opens a connection.
   *
   * @param {string} url
   * @param {typeof WebSocket} WebSocketClass
   * @param {Listener} listener
   * @returns {Promise<Connection>}
   */
  static open(url, WebSocketClass, listener) {
    return new Promise((resolve, reject) => {
      const socket = make(WebSocketClass, url);
      // Browsers do not tell the reason.
      const failed = () => {
        clearTimeout(timer);
        socket.onopen = socket.onclose = null;
        // Errors after the first one change nothing.
        socket.onerror = () => {};
        socket.close();
        reject(new SwitchboardError("disconnected", "the connection was not opened", { retryable: true }));
      };
      const timer = setTimeout(failed, OPEN_TIMEOUT_MS);
      socket.onopen = () => {
        clearTimeout(timer);
        // A close event follows.
        socket.onerror = () => {};
        resolve(new Connection(socket, listener));
      };
      // Some runtimes fire only one of the two when a handshake fails.
      socket.onclose = socket.onerror = failed;
    });
  }

  /**
   * Sends a frame, and resolves with the data of the event that answers it. A connection on which an answer is overdue is
   * dead, whatever the socket says, and is closed; a ping may be answered by any frame.
   *
   * @param {string} action
   * @param {object} [fields]
   * @param {number} [timeoutMs]
   * @returns {Promise<any>}
   */
  ask(action, fields = {}, timeoutMs = ANSWER_TIMEOUT_MS) {
    return new Promise((resolve, reject) => {
      const refusal = Connection.refusal(action, fields);
      if (refusal) return reject(refusal);
      const id = String(++this.#count);
      const received = this.#received;
      const late = () => {
        this.#waiting.delete(id);
        reject(new SwitchboardError("timeout", `${action} was not answered in time`, { retryable: true }));
        // A ping asks whether the connection is alive, and any other frame shows that too.
        if (action !== "ping" || this.#received === received) this.close();
      };
      this.#waiting.set(id, { resolve, reject, timer: setTimeout(late, timeoutMs) });
      this.#send({ action, id, ...fields });
      if (this.#ended) this.#end();
    });
  }

  /**
   * Sends a frame that gets no answer.
   *
   * @param {string} action
   * @param {object} [fields]
   */
  tell(action, fields = {}) {
    if (!Connection.refusal(action, fields)) this.#send({ action, ...fields });
  }

  /** Whether answers are outstanding. */
  get busy() {
    return this.#waiting.size > 0;
  }

  close() {
    this.#socket.close(1000);
    // The other side may never answer.
    this.#end();
  }

  /** @param {object} frame */
  #send(frame) {
    // A frame that is sent while the socket closes is dropped; the end of the connection rejects what waits for an answer.
    if (this.#socket.readyState === 1) this.#socket.send(JSON.stringify(frame));
  }

  /** @param {unknown} text */
  #receive(text) {
    this.#received++;
    this.receivedAt = Date.now();
    const frame = readFrame(text);
    if (!frame) return this.#listener.problem(new SwitchboardError("gateway", "the service sent something that is not a frame"));
    const waiting = frame.id === undefined ? undefined : this.#waiting.get(frame.id);
    if (!waiting) return this.#hand(frame);
    this.#waiting.delete(/** @type {string} */ (frame.id));
    clearTimeout(waiting.timer);
    if (frame.type === "error") waiting.reject(errorOf(frame));
    else if (typeof frame.data === "object" && frame.data) waiting.resolve(frame.data);
    else waiting.reject(new SwitchboardError("gateway", `the service sent a malformed ${frame.type}`));
    if (frame.error?.code === "token_expired") this.#hand(frame);
  }

  /** @param {Frame} frame */
  #hand(frame) {
    try {
      this.#listener.event(frame);
    } catch (error) {
      // Skip it: the next frame may be valid.
      this.#listener.problem(new SwitchboardError("gateway", `the service sent a malformed ${frame.type}: ${error}`));
    }
  }

  #end() {
    const first = !this.#ended;
    this.#ended = true;
    this.#socket.onmessage = this.#socket.onclose = null;
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(lost());
    }
    this.#waiting.clear();
    if (first) this.#listener.closed();
  }
}

/**
 * Parses a frame; undefined if it is not a JSON object in text.
 *
 * @param {unknown} text
 * @returns {Frame | undefined}
 */
function readFrame(text) {
  try {
    const frame = typeof text === "string" ? JSON.parse(text) : undefined;
    return typeof frame === "object" && !Array.isArray(frame) ? (frame ?? undefined) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param {typeof WebSocket} WebSocketClass
 * @param {string} url
 */
function make(WebSocketClass, url) {
  if (typeof WebSocketClass !== "function") {
    throw new SwitchboardError("misconfigured", "this runtime has no WebSocket: give one as the option `WebSocket`");
  }
  try {
    return new WebSocketClass(url);
  } catch {
    // The reason names the whole URL, with the token.
    throw new SwitchboardError("misconfigured", `url: ${url.split("?")[0]} cannot be opened as a WebSocket`);
  }
}
