// This user's messages that are not stored yet. Each is sent until it is stored or refused, on the next connection if need be,
// with the same clientMessageId: it is stored once.

// @ts-check

import { given, newId, pause } from "./checks.js";
import { Connection } from "./connection.js";
import { SwitchboardError } from "./errors.js";

/** The pause before a message is sent again that may be stored later, unless the service names one. */
export const RETRY_MS = 500;
/** A message over which this many connections were closed has failed. */
export const BLAMED_AT_MOST = 2;
/** How long messages wait for those that an earlier page has left, which were sent before them. */
const OPENS_WITHIN_MS = 3000;

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").Outgoing} Outgoing
 * @typedef {{replyTo?: string | undefined, metadata?: import("./types.js").Metadata | undefined}} More
 * @typedef {object} Work what is done with the outbox
 * @property {(message: Message) => void} stored takes a message as it is stored, and calls {@link Outbox.arrived}
 * @property {(outgoing: Outgoing) => void} changed
 * @property {() => void} sendAll sends everything that waits, here and elsewhere
 * @property {(error: unknown) => void} problem
 */

export class Outbox {
  /** In the order in which they were sent. @type {Map<string, Outgoing>} */
  #all = new Map();
  /** The same; undefined until somebody asks. @type {readonly Outgoing[] | undefined} */
  #listed;
  /** @type {Map<string, {resolve: (message: Message) => void, reject: (error: SwitchboardError) => void}>} */
  #promised = new Map();
  /** The conversations with a send that waits for its answer. @type {Set<string>} */
  #delivering = new Set();
  /** How often a connection was closed with a code that blames a frame, while this message waited for its answer. @type {Map<string, number>} */
  #blamed = new Map();
  #suspecting = false;
  /** The messages that are kept in the store. @type {Set<string>} */
  #kept = new Set();
  #opened = false;
  /** The timer after which what was left is not waited for any more; undefined unless it may still come. @type {any} */
  #opening;
  /** The messages that were discarded while the store was closed. @type {Set<string>} */
  #discarded = new Set();
  #link;
  #store;
  #random;
  #work;

  /**
   * @param {import("./link.js").Link} link
   * @param {import("./types.js").Options} options
   * @param {Work} work
   */
  constructor(link, options, work) {
    this.#link = link;
    this.#store = options.outbox;
    this.#random = options.random ?? Math.random;
    this.#work = work;
  }

  get size() {
    return this.#all.size;
  }

  get all() {
    this.#listed ??= Object.freeze([...this.#all.values()]);
    return this.#listed;
  }

  /** Whether a connection may have been closed over one of the messages. Then nothing else is sent. */
  get isSuspecting() {
    return this.#blamed.size > 0;
  }

  /**
   * The messages of a conversation.
   *
   * @param {string} conversationId
   */
  in(conversationId) {
    return this.all.filter((one) => one.conversationId === conversationId);
  }

  /**
   * Takes what this user's pages left that have ended, and keeps what this one sends.
   *
   * @param {string} userId
   */
  open(userId) {
    if (!this.#store || this.#opened) return;
    const store = this.#store;
    this.#opened = true;
    const adopt = (/** @type {Outgoing[]} */ left) => {
      const isDiscarded = (/** @type {Outgoing} */ { clientMessageId }) => this.#discarded.has(clientMessageId);
      for (const { clientMessageId } of left.filter(isDiscarded)) store.delete(clientMessageId).catch(this.#work.problem);
      const others = left.filter((one) => !this.#all.has(one.clientMessageId) && !isDiscarded(one));
      for (const { clientMessageId } of others) this.#kept.add(clientMessageId);
      this.#all = new Map([...others.map((one) => /** @type {[string, Outgoing]} */ ([one.clientMessageId, one])), ...this.#all]);
      others.forEach((one) => this.#changed(one));
      this.deliverAll();
    };
    const opened = () => {
      // It may have been stopped and opened again meanwhile.
      if (this.#opening !== timer) return;
      clearTimeout(timer);
      this.#opening = undefined;
      this.deliverAll();
    };
    const timer = setTimeout(opened, OPENS_WITHIN_MS);
    this.#opening = timer;
    const opening = store.open(userId, adopt).then(() => [...this.#all.values()].forEach((one) => this.#keep(one)));
    opening.catch(this.#work.problem).finally(opened);
  }

  /** Ends all waiting. The messages stay, and are sent after the next start. @param {SwitchboardError} error */
  stop(error) {
    for (const { reject } of this.#promised.values()) reject(error);
    this.#promised.clear();
    if (this.#opened) this.#store?.close();
    this.#opened = false;
    clearTimeout(this.#opening);
    this.#opening = undefined;
    this.#kept.clear();
  }

  /**
   * Sends a message. Resolves once it is stored.
   *
   * @param {string} conversationId
   * @param {string} content
   * @param {More} more
   * @returns {Promise<Message>}
   */
  send(conversationId, content, { replyTo, metadata }) {
    const clientMessageId = newId();
    /** @type {Outgoing} */
    const outgoing = { clientMessageId, conversationId, content, ...given({ replyTo, metadata }), state: "pending" };
    const refusal = Connection.refusal("send_message", fieldsOf(outgoing));
    /** @type {Promise<Message>} */
    const sent = new Promise((resolve, reject) => this.#promised.set(clientMessageId, { resolve, reject }));
    // Its state tells it too, to those who do not wait.
    sent.catch(() => {});
    if (refusal) this.#giveUp(outgoing, refusal);
    else {
      this.#put(outgoing);
      void this.#deliver(conversationId);
    }
    return sent;
  }

  /**
   * Sends a failed message again.
   *
   * @param {string} clientMessageId
   */
  resend(clientMessageId) {
    const outgoing = this.#all.get(clientMessageId);
    if (outgoing?.state !== "failed") return;
    const { error: _, ...again } = outgoing;
    this.#put({ ...again, state: "pending" });
    void this.#deliver(outgoing.conversationId);
  }

  /**
   * Discards a failed message.
   *
   * @param {string} clientMessageId
   */
  discard(clientMessageId) {
    if (this.#all.get(clientMessageId)?.state === "failed") this.#remove(clientMessageId);
  }

  /**
   * Gives up what was sent to a conversation that is gone.
   *
   * @param {string} conversationId
   * @param {SwitchboardError} reason
   */
  forget(conversationId, reason) {
    for (const outgoing of this.in(conversationId)) {
      if (outgoing.state === "pending") this.#giveUp(outgoing, reason);
      this.discard(outgoing.clientMessageId);
    }
  }

  /**
   * A message of this user is stored. It may have been sent by this page or left by another one.
   *
   * @param {Message} message
   */
  arrived(message) {
    const clientMessageId = message.clientMessageId ?? "";
    if (!this.#all.has(clientMessageId)) return;
    this.#remove(clientMessageId);
    this.#promised.get(clientMessageId)?.resolve(message);
    this.#promised.delete(clientMessageId);
  }

  deliverAll() {
    for (const id of new Set([...this.#all.values()].map(({ conversationId }) => conversationId))) void this.#deliver(id);
  }

  /**
   * Sends the messages that waited for an answer when a connection was closed over one of them, one at a time: if a
   * connection is closed again, its message is the reason.
   */
  async deliverSuspects() {
    if (this.#suspecting) return;
    this.#suspecting = true;
    try {
      for (const clientMessageId of [...this.#blamed.keys()]) {
        while (this.#blamed.has(clientMessageId)) {
          const suspect = this.#all.get(clientMessageId);
          if (suspect?.state !== "pending") this.#blamed.delete(clientMessageId);
          else if (!this.#link.isOnline) return;
          else await this.#try(suspect);
        }
      }
    } finally {
      this.#suspecting = false;
    }
  }

  /**
   * Sends the pending messages of a conversation one after the other, which keeps their order: the service handles frames
   * concurrently.
   *
   * @param {string} conversationId
   */
  async #deliver(conversationId) {
    if (this.#delivering.has(conversationId) || this.isSuspecting || this.#opening !== undefined) return;
    this.#delivering.add(conversationId);
    try {
      // While offline, the next connection continues.
      for (let outgoing; this.#link.isOnline && (outgoing = this.#nextTo(conversationId)); ) await this.#try(outgoing);
    } finally {
      this.#delivering.delete(conversationId);
    }
  }

  /** @param {string} conversationId */
  #nextTo(conversationId) {
    for (const one of this.#all.values()) if (one.conversationId === conversationId && one.state === "pending") return one;
  }

  /** @param {Outgoing} outgoing */
  async #try(outgoing) {
    const { clientMessageId } = outgoing;
    const { connection } = this.#link;
    if (!connection) return;
    try {
      this.#work.stored(await connection.ask("send_message", fieldsOf(outgoing)));
      this.#blamed.delete(clientMessageId);
    } catch (caught) {
      const error = /** @type {SwitchboardError} */ (caught);
      // The message may have been pushed meanwhile, after another try.
      if (!this.#all.has(clientMessageId)) return void this.#blamed.delete(clientMessageId);
      if (connection.wasBlamed) {
        const times = (this.#blamed.get(clientMessageId) ?? 0) + 1;
        this.#blamed.set(clientMessageId, times);
        if (times < BLAMED_AT_MOST) {
          // If this connection had been replaced, the message can be sent on its successor at once.
          if (this.#link.isOnline) this.#work.sendAll();
          return;
        }
        const reason = `the connection was closed over this message ${times} times`;
        return this.#giveUp(outgoing, new SwitchboardError("invalid_request", reason));
      }
      if (error.retryable || error.code === "token_expired") {
        if (this.#link.isOnline) await pause(error.retryAfterMs ?? RETRY_MS * (1 + this.#random()));
        return;
      }
      this.#giveUp(outgoing, error);
    }
  }

  /**
   * Marks a message as failed, so that the next ones are sent.
   *
   * @param {Outgoing} outgoing
   * @param {SwitchboardError} error
   */
  #giveUp(outgoing, error) {
    const { clientMessageId } = outgoing;
    this.#blamed.delete(clientMessageId);
    this.#put({ ...outgoing, state: "failed", error });
    this.#promised.get(clientMessageId)?.reject(error);
    this.#promised.delete(clientMessageId);
  }

  /** @param {Outgoing} outgoing */
  #put(outgoing) {
    const kept = Object.freeze(outgoing);
    this.#all.set(kept.clientMessageId, kept);
    this.#keep(kept);
    this.#changed(kept);
  }

  /** @param {string} clientMessageId */
  #remove(clientMessageId) {
    const outgoing = this.#all.get(clientMessageId);
    this.#all.delete(clientMessageId);
    if (this.#kept.delete(clientMessageId)) this.#store?.delete(clientMessageId).catch(this.#work.problem);
    else if (this.#store && !this.#opened) this.#discarded.add(clientMessageId);
    if (outgoing) this.#changed(outgoing);
  }

  /** @param {Outgoing} outgoing */
  #changed(outgoing) {
    this.#listed = undefined;
    this.#work.changed(outgoing);
  }

  /** @param {Outgoing} outgoing */
  #keep(outgoing) {
    if (!this.#store || !this.#opened) return;
    this.#kept.add(outgoing.clientMessageId);
    this.#store.put(outgoing).catch(this.#work.problem);
  }
}

/**
 * The fields of the frame that sends a message.
 *
 * @param {Outgoing} outgoing
 */
function fieldsOf({ conversationId, content, clientMessageId, replyTo, metadata }) {
  return { conversationId, content, clientMessageId, ...given({ replyTo, metadata }) };
}
