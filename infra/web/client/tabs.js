// Tabs of one user that share one connection. One of them, the leader, holds it; the others speak through the leader. Each tab has a
// client of its own, to which this looks like a WebSocket.

// @ts-check

import { newId } from "./checks.js";

/** How long a leader may take to answer, before another tab takes over: it may be frozen. */
const ANSWERS_WITHIN_MS = 5000;

/** The answers that are events too: whoever shares the connection gets no other word of them. */
const EVENTS = new Set(["new_message", "message_changed", "messages_read"]);

/**
 * @typedef {{type: "leader"} | {type: "open", socket: string, url: string} | {type: "send", socket: string, text: string} |
 *   {type: "close", socket: string} | {type: "opened", socket: string} | {type: "frame", sockets: string[], text: string} |
 *   {type: "closed", sockets: string[], code: number}} Told what tabs tell each other
 */

/**
 * For the option `tabs`: the tabs of a user share one connection. Where there are no Web Locks or no BroadcastChannel, each tab has
 * its own.
 *
 * @returns {import("./types.js").Tabs}
 */
export function leader() {
  return (WebSocketClass) => {
    if (typeof BroadcastChannel !== "function" || !globalThis.navigator?.locks) return WebSocketClass;
    /** @type {Map<string, Hub>} */
    const hubs = new Map();
    const hubOf = (/** @type {string} */ url) => {
      const key = `switchboard ${url.split("?")[0]} ${userOf(url)}`;
      const hub = hubs.get(key) ?? new Hub(key, WebSocketClass);
      hubs.set(key, hub);
      return hub;
    };
    class Shared extends SharedSocket {
      /** @param {string} url */
      constructor(url) {
        super(hubOf(url), url);
      }
    }
    return /** @type {any} */ (Shared);
  };
}

/** What the client uses of a WebSocket. */
class SharedSocket {
  readyState = 0;
  #hub;
  #id;

  /**
   * @param {Hub} hub
   * @param {string} url
   */
  constructor(hub, url) {
    this.#hub = hub;
    this.#id = hub.add(this, url);
  }

  /** @param {string} text */
  send(text) {
    if (this.readyState === 1) this.#hub.tell({ type: "send", socket: this.#id, text });
  }

  close() {
    this.#hub.remove(this.#id);
    this.ended(1000);
  }

  opened() {
    if (this.readyState !== 0) return;
    this.readyState = 1;
    /** @type {any} */ (this).onopen?.({});
  }

  /** @param {string} data */
  received(data) {
    if (this.readyState === 1) /** @type {any} */ (this).onmessage?.({ data });
  }

  /** @param {number} code */
  ended(code) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    queueMicrotask(() => /** @type {any} */ (this).onclose?.({ code }));
  }
}

/** What the tabs of a user have in common, as one of them sees it. */
class Hub {
  #key;
  #WebSocket;
  #tab = newId().slice(0, 12);
  #count = 0;
  /**
   * The sockets of this tab, each with the URL that it opens, and the timer of the last request for that.
   *
   * @type {Map<string, {socket: SharedSocket, url: string, timer?: any}>}
   */
  #own = new Map();
  /** @type {BroadcastChannel | undefined} */
  #channel;
  /** Ends the wish to lead, or the leading. */
  #resign = () => {};
  /** What this tab holds for all, while it leads. @type {Switch | undefined} */
  #switch;

  /**
   * @param {string} key
   * @param {typeof WebSocket} WebSocketClass
   */
  constructor(key, WebSocketClass) {
    this.#key = key;
    this.#WebSocket = WebSocketClass;
  }

  /**
   * @param {SharedSocket} socket
   * @param {string} url
   */
  add(socket, url) {
    const id = `${this.#tab}:${++this.#count}`;
    this.#own.set(id, { socket, url });
    if (!this.#channel) {
      this.#channel = new BroadcastChannel(this.#key);
      this.#channel.onmessage = ({ data }) => this.#hear(data);
      this.#claim({});
    }
    // After the one who opens it listens.
    queueMicrotask(() => this.#ask(id));
    return id;
  }

  /** @param {string} id */
  remove(id) {
    if (!this.#own.has(id)) return;
    this.tell({ type: "close", socket: id });
    this.#forget(id);
  }

  /**
   * @param {string} id
   * @param {number} [code] with which the socket ends
   */
  #forget(id, code) {
    const own = this.#own.get(id);
    if (!own) return;
    this.#own.delete(id);
    clearTimeout(own.timer);
    if (code !== undefined) own.socket.ended(code);
    if (this.#own.size > 0) return;
    // A tab without a connection is not the one to lead.
    this.#resign();
    this.#channel?.close();
    this.#channel = undefined;
  }

  /** @param {Told} told */
  tell(told) {
    this.#channel?.postMessage(told);
    // A channel does not tell its own tab.
    this.#hear(told);
  }

  /** @param {string} id */
  #ask(id) {
    const own = this.#own.get(id);
    if (!own || own.socket.readyState !== 0) return;
    clearTimeout(own.timer);
    // Not all tabs at once.
    const delay = ANSWERS_WITHIN_MS * (1 + Math.random() / 2);
    own.timer = setTimeout(() => this.#switch || this.#claim({ steal: true }), delay);
    this.tell({ type: "open", socket: id, url: own.url });
  }

  /**
   * Leads as soon as nobody else does, or instead of who does.
   *
   * @param {{steal?: boolean}} how
   */
  #claim(how) {
    this.#resign();
    const giving = new AbortController();
    this.#resign = () => giving.abort();
    const { signal } = giving;
    const lead = () =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve(undefined);
        signal.addEventListener("abort", resolve, { once: true });
        this.#lead();
      });
    // A lock cannot be stolen and waited for at once.
    const lock = navigator.locks.request(this.#key, how.steal ? how : { signal }, lead);
    lock.catch(() => {
      if (signal.aborted) return;
      // Another tab has stolen it: this one waits in line again, if it still wants a connection.
      this.#resign();
      if (this.#channel) this.#claim({});
    });
    signal.addEventListener("abort", () => {
      this.#switch?.end();
      this.#switch = undefined;
    });
  }

  #lead() {
    this.#switch = new Switch(this.#WebSocket, (told) => this.tell(told));
    this.tell({ type: "leader" });
  }

  /** @param {Told} told */
  #hear(told) {
    switch (told.type) {
      case "leader":
        // What the leader before held is gone.
        for (const [id, { socket }] of [...this.#own]) {
          if (socket.readyState === 0) this.#ask(id);
          else this.#forget(id, 1006);
        }
        return;
      case "open":
        return this.#switch?.open(told.socket, told.url);
      case "send":
        return this.#switch?.send(told.socket, told.text);
      case "close":
        return this.#switch?.close(told.socket);
      case "opened":
        clearTimeout(this.#own.get(told.socket)?.timer);
        return this.#own.get(told.socket)?.socket.opened();
      case "frame":
        for (const id of told.sockets) this.#own.get(id)?.socket.received(told.text);
        return;
      case "closed":
        for (const id of told.sockets) this.#forget(id, told.code);
    }
  }
}

/** The connections that a leader holds: one, and beside it the one before while it is being replaced. */
class Switch {
  #WebSocket;
  #tell;
  /** @type {Set<Line>} */
  #lines = new Set();
  /** The one that sockets are added to. @type {Line | undefined} */
  #current;

  /**
   * @param {typeof WebSocket} WebSocketClass
   * @param {(told: Told) => void} tell
   */
  constructor(WebSocketClass, tell) {
    this.#WebSocket = WebSocketClass;
    this.#tell = tell;
  }

  /**
   * @param {string} id
   * @param {string} url
   */
  open(id, url) {
    if ([...this.#lines].some(({ sockets }) => sockets.has(id))) return;
    // A tab that has a socket on this line already replaces it: its token or the line's time is over soon.
    const tab = id.split(":")[0];
    const isReplaced = [...(this.#current?.sockets ?? [])].some((other) => other.split(":")[0] === tab);
    if (!this.#current || isReplaced) this.#current = this.#newLine(url);
    this.#current.sockets.add(id);
    if (this.#current.socket.readyState === 1) this.#tell({ type: "opened", socket: id });
  }

  /** @param {string} url */
  #newLine(url) {
    const socket = new this.#WebSocket(url);
    /** @type {Line} */
    const line = { socket, sockets: new Set(), joined: new Map() };
    this.#lines.add(line);
    socket.onopen = () => line.sockets.forEach((id) => this.#tell({ type: "opened", socket: id }));
    socket.onmessage = ({ data }) => this.#received(line, data);
    socket.onclose = ({ code }) => this.#closed(line, code);
    socket.onerror = () => this.#closed(line, 1006);
    return line;
  }

  /**
   * @param {Line} line
   * @param {number} code
   */
  #closed(line, code) {
    if (!this.#lines.delete(line)) return;
    if (this.#current === line) this.#current = undefined;
    line.socket.onclose = line.socket.onmessage = null;
    line.socket.close();
    this.#tell({ type: "closed", sockets: [...line.sockets], code });
  }

  /** @param {string} id */
  #lineOf(id) {
    return [...this.#lines].find(({ sockets }) => sockets.has(id));
  }

  /**
   * @param {string} id
   * @param {string} text
   */
  send(id, text) {
    const line = this.#lineOf(id);
    if (!line) return;
    const frame = JSON.parse(text);
    const { action, conversationId } = frame;
    if (action === "join_conversation") joinedIn(line, conversationId).add(id);
    // Others are in it still.
    if (action === "leave_conversation" && !leaves(line, conversationId, id)) {
      const left = { type: "left_conversation", id: frame.id, data: { conversationId } };
      return this.#tell({ type: "frame", sockets: [id], text: JSON.stringify(left) });
    }
    line.socket.send(JSON.stringify(frame.id === undefined ? frame : { ...frame, id: `${id} ${frame.id}` }));
  }

  /**
   * @param {Line} line
   * @param {string} text
   */
  #received(line, text) {
    const frame = read(text);
    const [, asker, id] = /^(\S+) (.*)$/.exec(frame.id ?? "") ?? [];
    if (!asker || id === undefined) return this.#tell({ type: "frame", sockets: [...line.sockets], text });
    this.#tell({ type: "frame", sockets: [asker], text: JSON.stringify({ ...frame, id }) });
    if (!EVENTS.has(frame.type)) return;
    const { id: _, ...event } = frame;
    this.#tell({ type: "frame", sockets: [...line.sockets].filter((other) => other !== asker), text: JSON.stringify(event) });
  }

  /** @param {string} id */
  close(id) {
    const line = this.#lineOf(id);
    if (!line) return;
    line.sockets.delete(id);
    for (const conversationId of [...line.joined.keys()]) {
      if (leaves(line, conversationId, id) && line.socket.readyState === 1) line.socket.send(JSON.stringify({ action: "leave_conversation", conversationId }));
    }
    if (line.sockets.size === 0) this.#closed(line, 1000);
  }

  end() {
    for (const line of [...this.#lines]) this.#closed(line, 1006);
  }
}

/**
 * A connection that is shared.
 *
 * @typedef {object} Line
 * @property {WebSocket} socket
 * @property {Set<string>} sockets whose it is
 * @property {Map<string, Set<string>>} joined which of them has joined each conversation
 */

/**
 * @param {Line} line
 * @param {string} conversationId
 */
function joinedIn(line, conversationId) {
  const joined = line.joined.get(conversationId) ?? new Set();
  line.joined.set(conversationId, joined);
  return joined;
}

/**
 * Takes note that a socket leaves a conversation. Returns whether it was the last that had joined.
 *
 * @param {Line} line
 * @param {string} conversationId
 * @param {string} id
 */
function leaves(line, conversationId, id) {
  const joined = joinedIn(line, conversationId);
  const wasIn = joined.delete(id);
  if (joined.size === 0) line.joined.delete(conversationId);
  return wasIn && joined.size === 0;
}

/**
 * What is no frame is for each client to complain about.
 *
 * @param {string} text
 * @returns {any}
 */
function read(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

/**
 * Whose token is in a URL. Tabs of different users share nothing.
 *
 * @param {string} url
 */
function userOf(url) {
  const token = new URL(url).searchParams.get("token") ?? "";
  const payload = (token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/");
  return JSON.parse(atob(payload)).sub;
}
