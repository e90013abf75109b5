// One WebSocket connection: frames go out with an id, and each answer finds the frame that it is for.

// @ts-check

/** How long an answer may take. Longer than the service's own limits together. */
const ANSWER_TIMEOUT_MS = 25_000;
/** And a handshake. */
const OPEN_TIMEOUT_MS = 15_000;

/** What the service or the way to it refused. */
export class SwitchboardError extends Error {
  /**
   * @param {string} code one of the service's codes, or `timeout` or `disconnected`
   * @param {string} message for people
   * @param {{retryable?: boolean, retryAfterMs?: number}} [more]
   */
  constructor(code, message, more = {}) {
    super(message);
    this.name = "SwitchboardError";
    this.code = code;
    this.retryable = more.retryable ?? false;
    this.retryAfterMs = more.retryAfterMs;
  }
}

/**
 * @typedef {{type: string, id?: string, data?: any, error?: any, message?: string}} Frame
 * @typedef {{resolve: (data: any) => void, reject: (error: SwitchboardError) => void, timer: any}} Waiting
 */

export class Connection {
  #socket;
  #listener;
  /** @type {Map<string, Waiting>} */
  #waiting = new Map();
  #count = 0;
  #ended = false;

  /**
   * @param {WebSocket} socket an open one
   * @param {{event: (frame: Frame) => void, closed: () => void}} listener
   */
  constructor(socket, listener) {
    this.#socket = socket;
    this.#listener = listener;
    socket.onmessage = (message) => this.#receive(message.data);
    socket.onclose = () => this.#end();
  }

  /**
   * Opens a connection.
   *
   * @param {string} url
   * @param {typeof WebSocket} WebSocketClass
   * @param {{event: (frame: Frame) => void, closed: () => void}} listener
   * @returns {Promise<Connection>}
   */
  static open(url, WebSocketClass, listener) {
    return new Promise((resolve, reject) => {
      const socket = new WebSocketClass(url);
      // Browsers do not tell why.
      const failed = () => {
        clearTimeout(timer);
        socket.onopen = socket.onclose = null;
        socket.close();
        reject(new SwitchboardError("disconnected", "the connection was not opened", { retryable: true }));
      };
      const timer = setTimeout(failed, OPEN_TIMEOUT_MS);
      socket.onopen = () => {
        clearTimeout(timer);
        resolve(new Connection(socket, listener));
      };
      socket.onclose = failed;
      socket.onerror = () => {};
    });
  }

  /**
   * Sends a frame and waits for its answer: the data of the event that it caused. A connection on which an answer does not
   * come is dead, whatever the socket says, and ends.
   *
   * @param {string} action
   * @param {object} [fields]
   * @param {number} [timeoutMs]
   * @returns {Promise<any>}
   */
  ask(action, fields = {}, timeoutMs = ANSWER_TIMEOUT_MS) {
    return new Promise((resolve, reject) => {
      const id = String(++this.#count);
      const late = () => {
        this.#waiting.delete(id);
        reject(new SwitchboardError("timeout", `${action} was not answered in time`, { retryable: true }));
        this.close();
      };
      this.#waiting.set(id, { resolve, reject, timer: setTimeout(late, timeoutMs) });
      this.#send({ action, id, ...fields });
      if (this.#ended) this.#end();
    });
  }

  /**
   * Sends a frame that is not answered.
   *
   * @param {string} action
   * @param {object} [fields]
   */
  tell(action, fields = {}) {
    this.#send({ action, ...fields });
  }

  /** Whether answers are still to come. */
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
    // What is sent while the socket closes gets no answer: its end rejects whatever waits.
    if (this.#socket.readyState === 1) this.#socket.send(JSON.stringify(frame));
  }

  /** @param {string} text */
  #receive(text) {
    /** @type {Frame} */
    const frame = JSON.parse(text);
    const waiting = frame.id === undefined ? undefined : this.#waiting.get(frame.id);
    if (!waiting) {
      this.#listener.event(frame);
      return;
    }
    this.#waiting.delete(/** @type {string} */ (frame.id));
    clearTimeout(waiting.timer);
    if (frame.type === "error") waiting.reject(new SwitchboardError(frame.error.code, frame.error.message, frame.error));
    else waiting.resolve(frame.data);
    if (frame.error?.code === "token_expired") this.#listener.event(frame);
  }

  #end() {
    const first = !this.#ended;
    this.#ended = true;
    this.#socket.onmessage = this.#socket.onclose = null;
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new SwitchboardError("disconnected", "the connection was lost", { retryable: true }));
    }
    this.#waiting.clear();
    if (first) this.#listener.closed();
  }
}
