// The link to the service: it is one connection after the other, and each is brought up to date before it counts.

// @ts-check

import { Connection } from "./connection.js";
import { SwitchboardError, asError, errorOf, isFinal, lost } from "./errors.js";

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** When a connection is replaced: before API Gateway closes it, which it does after two hours. */
const REPLACE_AFTER_MS = 115 * MINUTE;
/** The shortest time until a replacement, however soon the token expires. */
const SHORTEST_MS = 15 * SECOND;
/** How long nothing may come before the connection is tried, while somebody looks. */
const PING_EVERY_MS = 30 * SECOND;
/** The longest interval of pings. They renew the lease, and keep the connection from being closed as idle. */
const PING_AT_LEAST_EVERY_MS = 4 * MINUTE;
/** How long a doubtful connection may take to answer a ping. */
const CHECK_MS = 5 * SECOND;
/** The first pause before a new attempt to connect, which doubles with each failure, and the longest. */
const FIRST_DELAY_MS = 500;
const LAST_DELAY_MS = 30 * SECOND;
/** How long a replaced connection stays open for answers that are still to come. */
const OVERLAP_MS = 30 * SECOND;
/** After a connection has lasted this long, pauses between attempts start from the first one again. */
const GOOD_AFTER_MS = 30 * SECOND;
/** The longest pause between attempts, whatever the clock says. */
const LONGEST_PAUSE_MS = 60 * MINUTE;
/** How long `start` waits for the first connection. */
const START_MS = 30 * SECOND;
/** After so many failures, and each time as many more, it is looked into why no connection opens. */
const DIAGNOSED_EVERY = 2;

/**
 * @typedef {import("./types.js").ConnectionState} ConnectionState
 * @typedef {import("./connection.js").Frame} Frame
 * @typedef {object} Work what is done with the link
 * @property {(frame: Frame) => void} hear takes a frame that answers no other
 * @property {(pong: any) => void} compare takes the answer to a ping
 * @property {(connection: Connection, isNew: boolean) => Promise<void>} synchronise fetches what may have been missed; `isNew` if
 *   there was no connection just before
 * @property {() => void} online sends what has waited
 * @property {(state: ConnectionState) => void} changed
 * @property {(error: SwitchboardError) => void} problem
 */

export class Link {
  /** @type {ConnectionState} */
  state = Object.freeze({ state: /** @type {const} */ ("idle") });
  /** The connection that frames are sent on. @type {Connection | undefined} */
  connection;

  #url;
  #api;
  #work;
  #WebSocket;
  #random;
  #pingEveryMs;
  #lifecycle;
  #running = false;
  #wasOnline = false;
  /** @type {{promise: Promise<void>, resolve: () => void, reject: (error: SwitchboardError) => void} | undefined} */
  #started;
  /** @type {Promise<void> | undefined} */
  #connecting;
  #attempts = 0;
  /** Replaced connections that only wait for their last answers, each with when it has waited enough. @type {Map<Connection, any>} */
  #retired = new Map();
  /** The connection whose answer to a ping is awaited, and whether that has to come soon. @type {{connection: Connection, soon: boolean} | undefined} */
  #checked;
  /** When the next attempt to connect may be made, in milliseconds since 1970. */
  #notBefore = 0;
  /** How many times in a row the service closed this client's connection as the user's oldest. */
  #timesReplaced = 0;
  /** How many connections are being opened. */
  #opening = 0;
  #timers = { ping: /** @type {any} */ (0), replace: /** @type {any} */ (0), good: /** @type {any} */ (0), start: /** @type {any} */ (0) };
  /** Ends a pause. */
  #wake = () => {};
  #unsubscribe = () => {};

  /**
   * @param {import("./types.js").Options} options
   * @param {import("./api.js").Api} api
   * @param {Work} work
   */
  constructor(options, api, work) {
    this.#url = options.url;
    this.#api = api;
    this.#work = work;
    const WebSocketClass = options.WebSocket ?? globalThis.WebSocket;
    this.#WebSocket = options.tabs?.(WebSocketClass) ?? WebSocketClass;
    this.#random = options.random ?? Math.random;
    this.#pingEveryMs = options.pingEveryMs ?? PING_EVERY_MS;
    this.#lifecycle = options.lifecycle ?? page;
  }

  get isOnline() {
    return this.state.state === "online" && this.connection !== undefined;
  }

  /** Connects, and stays connected until `stop` or until that is of no use. */
  start() {
    if (this.#started) return this.#started.promise;
    /** @type {any} */
    const started = {};
    started.promise = new Promise((resolve, reject) => Object.assign(started, { resolve, reject }));
    // The state tells it too, to those who do not wait.
    started.promise.catch(() => {});
    if (this.isOnline) {
      started.resolve();
      return started.promise;
    }
    this.#started = started;
    this.#timers.start = setTimeout(() => this.#startFailed(this.state.error ?? lost()), START_MS);
    if (!this.#running) {
      this.#running = true;
      this.#wasOnline = false;
      this.#becomeUnconnected();
      this.#unsubscribe = this.#lifecycle.subscribe(this.#look);
    }
    this.retry();
    return started.promise;
  }

  /** @param {SwitchboardError} error */
  #startFailed(error) {
    this.#started?.reject(error);
    this.#started = undefined;
  }

  stop() {
    if (!this.#running) return;
    this.#end();
    this.#startFailed(new SwitchboardError("stopped", "the client was stopped"));
    this.#become({ state: "idle" });
  }

  /** Checks now that the connection is alive, and opens one if there is none. */
  retry() {
    if (!this.#running) return;
    this.#attempts = 0;
    this.#notBefore = 0;
    this.#timesReplaced = 0;
    if (this.connection) return this.#check();
    this.#wake();
    this.#connect();
  }

  #end() {
    this.#running = false;
    this.#unsubscribe();
    this.#wake();
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    const connections = [this.connection, ...this.#retired.keys()];
    this.connection = undefined;
    for (const connection of connections) connection?.close();
  }

  /** @param {SwitchboardError} error */
  #fail(error) {
    this.#end();
    this.#startFailed(error);
    this.#become({ state: "failed", error });
    this.#work.problem(error);
  }

  /** The network has changed or somebody has come back: a machine that slept has a dead socket. */
  #look = () => {
    if (this.#lifecycle.isVisible()) this.retry();
  };

  /** @param {ConnectionState} state */
  #become(state) {
    const known = this.state;
    if (known.state === state.state && known.error === state.error && known.retryAt === state.retryAt) return;
    this.state = Object.freeze(state);
    this.#work.changed(this.state);
  }

  /** @param {{error?: SwitchboardError | undefined, retryAt?: number}} [more] */
  #becomeUnconnected({ error, retryAt } = {}) {
    const state = this.#wasOnline ? "reconnecting" : "connecting";
    this.#become({ state, ...(error && { error }), ...(retryAt && { retryAt }) });
  }

  /**
   * Connects, unless that is under way.
   *
   * @param {SwitchboardError} [error] after a pause, because of this
   */
  #connect(error) {
    this.#connecting ??= this.#tryUntilConnected(error).finally(() => {
      this.#connecting = undefined;
      // It may have been stopped and started again meanwhile.
      if (this.#running && !this.connection) return this.#connect();
      if (!this.isOnline) return;
      clearTimeout(this.#timers.start);
      this.#started?.resolve();
    });
  }

  /** @param {SwitchboardError} [error] */
  async #tryUntilConnected(error) {
    if (error) await this.#pause(error);
    while (this.#running) {
      // The planned replacement may have been quicker.
      if (this.connection) return;
      this.#becomeUnconnected({ error: this.state.error });
      try {
        await this.#replace();
        return;
      } catch (thrown) {
        const error = asError(thrown);
        if (!this.#running) return;
        if (isFinal(error)) this.#fail(error);
        else {
          this.#work.problem(error);
          await this.#pause(error);
        }
      }
    }
  }

  /**
   * Pauses: longer after each failure, and randomised, so that not all clients that lost their connections return at once.
   *
   * @param {SwitchboardError} error
   */
  #pause(error) {
    const backoff = Math.min(FIRST_DELAY_MS * 2 ** this.#attempts++, LAST_DELAY_MS) * (0.5 + this.#random() / 2);
    const delay = Math.min(Math.max(backoff, this.#notBefore - Date.now()), LONGEST_PAUSE_MS);
    this.#becomeUnconnected({ error, retryAt: Date.now() + delay });
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.#wake = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }

  /** Opens the next connection, and closes the one before it once its last answers have come. */
  async #replace() {
    this.#opening++;
    try {
      await this.#openNext();
    } finally {
      this.#opening--;
    }
  }

  async #openNext() {
    const token = await this.#api.token();
    const listener = {
      event: (/** @type {Frame} */ frame) => this.#hear(frame, next),
      closed: () => this.#lost(next),
      problem: this.#work.problem,
    };
    /** @type {Connection} */
    const next = await Connection.open(`${this.#url}?token=${encodeURIComponent(token)}`, this.#WebSocket, listener).catch(async (error) => {
      // The token may be the reason.
      this.#api.forgetToken();
      const isDue = this.#attempts % DIAGNOSED_EVERY === DIAGNOSED_EVERY - 1;
      const reason = isDue ? await this.#api.diagnosis() : undefined;
      // A proxy may answer like that for a while.
      throw reason && !(this.#wasOnline && reason.code === "misconfigured") ? reason : error;
    });
    if (!this.#running) return next.close();
    const before = this.connection;
    this.connection = next;
    if (before) this.#retire(before);
    this.#schedule();
    try {
      await this.#work.synchronise(next, !before);
      if (this.connection !== next) throw lost();
    } catch (error) {
      // A connection on which this fails is of no use.
      if (this.connection === next) this.connection = undefined;
      next.close();
      throw error;
    }
    this.#notBefore = 0;
    this.#wasOnline = true;
    this.#become({ state: "online" });
    this.#work.online();
  }

  /** @param {Connection} connection */
  #retire(connection) {
    if (!connection.busy) return connection.close();
    this.#retired.set(connection, setTimeout(() => connection.close(), OVERLAP_MS));
  }

  #schedule() {
    const { ping, replace, good } = this.#timers;
    for (const timer of [ping, replace, good]) clearTimeout(timer);
    this.#pingIn(Math.min(this.#pingEveryMs, PING_AT_LEAST_EVERY_MS), Date.now());
    this.#timers.good = setTimeout(() => (this.#attempts = this.#timesReplaced = 0), GOOD_AFTER_MS);
    this.#replaceIn(Math.max(SHORTEST_MS, Math.min(REPLACE_AFTER_MS, this.#api.renewAt - Date.now())));
  }

  /**
   * @param {number} delay
   * @param {number} pingedAt when the last ping was sent
   */
  #pingIn(delay, pingedAt) {
    this.#timers.ping = setTimeout(() => {
      const now = Date.now();
      // What has come since shows that the connection is alive. While nobody looks, that may be found out later.
      const heardAt = this.#lifecycle.isVisible() ? (this.connection?.receivedAt ?? now) : now;
      const dueAt = Math.min(heardAt + this.#pingEveryMs, pingedAt + PING_AT_LEAST_EVERY_MS);
      if (dueAt > now) return this.#pingIn(dueAt - now, pingedAt);
      this.#check();
      this.#pingIn(Math.min(this.#pingEveryMs, PING_AT_LEAST_EVERY_MS), now);
    }, delay);
  }

  /** Finds out whether the connection is alive. Without an answer it ends by itself. */
  #check() {
    const connection = this.connection;
    // In a page that nobody looks at, timers and frames come late.
    const soon = this.#lifecycle.isVisible();
    const known = this.#checked;
    if (!connection || (known?.connection === connection && (known.soon || !soon))) return;
    const check = { connection, soon };
    this.#checked = check;
    const done = () => {
      if (this.#checked === check) this.#checked = undefined;
    };
    // An error shows that the connection is alive.
    const limit = soon ? CHECK_MS : undefined;
    void connection.ask("ping", {}, limit).then((pong) => this.#work.compare(pong)).catch(() => {}).finally(done);
  }

  /** @param {number} delay */
  #replaceIn(delay) {
    const replace = () =>
      this.#replace().catch((thrown) => {
        const error = asError(thrown);
        if (!this.#running) return;
        if (isFinal(error)) return this.#fail(error);
        this.#work.problem(error);
        if (!this.connection) this.#connect();
        else this.#replaceIn(LAST_DELAY_MS * (0.5 + this.#random() / 2));
      });
    this.#timers.replace = setTimeout(replace, delay);
  }

  /** @param {Connection} connection */
  #lost(connection) {
    clearTimeout(this.#retired.get(connection));
    this.#retired.delete(connection);
    if (connection !== this.connection) return;
    this.connection = undefined;
    const { ping, replace, good } = this.#timers;
    for (const timer of [ping, replace, good]) clearTimeout(timer);
    if (!this.#running) return;
    // An attempt to connect that is under way notices the loss by itself, and tries again.
    this.#connect(lost());
  }

  /**
   * @param {Frame} frame
   * @param {Connection} connection the connection that it came on
   */
  #hear(frame, connection) {
    if (frame.type !== "error") return this.#work.hear(frame);
    // It answers no frame: usually it is the reason why the service closes the connection.
    const error = errorOf(frame);
    if (error.code === "token_expired") this.#api.forgetToken();
    const isOurs = connection === this.connection && this.#opening === 0;
    // The user has too many connections and this was the oldest. Connecting at once would close the next oldest, so wait,
    // unless this connection is being replaced or was.
    if (error.code === "rate_limited" && isOurs) {
      this.#notBefore = Date.now() + (error.retryAfterMs ?? LAST_DELAY_MS) * 2 ** this.#timesReplaced++;
    }
    this.#work.problem(error);
  }
}

/** What a page tells of itself. Outside of browsers somebody always looks. @type {import("./types.js").Lifecycle} */
const page = {
  isVisible: () => globalThis.document?.visibilityState !== "hidden",
  subscribe: (look) => {
    if (typeof globalThis.window?.addEventListener !== "function") return () => {};
    const { window, document } = globalThis;
    /** @type {[EventTarget, string][]} */
    const occasions = [[document, "visibilitychange"], ...["pageshow", "focus", "online", "offline"].map((event) => /** @type {[EventTarget, string]} */ ([window, event]))];
    for (const [target, event] of occasions) target.addEventListener(event, look);
    return () => occasions.forEach(([target, event]) => target.removeEventListener(event, look));
  },
};
