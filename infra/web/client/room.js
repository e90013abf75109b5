// A conversation that is open: its messages, who types, and what this user does in it.

// @ts-check

import { at } from "./api.js";
import { SwitchboardError, gone } from "./errors.js";
import { callAll } from "./events.js";

/** A conversation is marked as read at most this often. */
const READ_EVERY_MS = 1000;

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").RoomSnapshot} RoomSnapshot
 * @typedef {object} Parts what a room is made of, shared by all rooms of a client
 * @property {import("./api.js").Api} api
 * @property {import("./link.js").Link} link
 * @property {import("./list.js").List} list
 * @property {import("./outbox.js").Outbox} outbox
 * @property {import("./changes.js").Changes} changes
 * @property {import("./typing.js").Typing} typing
 * @property {(conversationId: string, content: string, more: import("./outbox.js").More) => Promise<Message>} send
 * @property {() => SwitchboardError | undefined} ended why nothing can be asked for any more
 * @property {(read: any) => void} read takes that this user has read
 * @property {(conversationId: string) => void} left takes that this user has left
 * @property {(shared: SharedRoom) => Promise<void>} close
 */

/** What those have in common that hold the same conversation. */
export class SharedRoom {
  /** @type {string} */
  id;
  timeline;
  /** How many hold it, or wait for it. */
  holders = 0;
  isGone = false;
  isReady = false;
  /** Resolves once it is complete. @type {Promise<void>} */
  ready;
  /** @type {() => void} */
  becomeReady = () => {};
  /** @type {(error: SwitchboardError) => void} */
  refuse = () => {};
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /** @type {RoomSnapshot | undefined} */
  #snapshot;
  #parts;
  #readAt = -Infinity;
  #toRead = 0;
  /** @type {Promise<void> | undefined} */
  #reading;

  /**
   * @param {import("./timeline.js").Timeline} timeline
   * @param {Parts} parts
   */
  constructor(timeline, parts) {
    this.id = timeline.id;
    this.timeline = timeline;
    this.#parts = parts;
    this.ready = new Promise((resolve, reject) => {
      this.becomeReady = () => {
        this.isReady = true;
        resolve();
      };
      this.refuse = reject;
    });
    // Those who wait for it are told.
    this.ready.catch(() => {});
  }

  get snapshot() {
    this.#snapshot ??= this.#look();
    return this.#snapshot;
  }

  /** @param {() => void} listener */
  subscribe(listener) {
    const call = () => listener();
    this.#listeners.add(call);
    return () => void this.#listeners.delete(call);
  }

  changed() {
    this.#snapshot = undefined;
    callAll(this.#listeners, undefined);
  }

  /** @returns {RoomSnapshot} */
  #look() {
    const { api, list, outbox, typing } = this.#parts;
    const { messages, hasMore } = this.timeline;
    const summary = list.get(this.id);
    return Object.freeze({
      id: this.id,
      summary,
      messages,
      outgoing: Object.freeze(outbox.in(this.id)),
      hasOlder: hasMore,
      typing: Object.freeze(typing.in(this.id).filter((userId) => userId !== api.userId)),
      firstUnreadSeq: this.#firstUnread(summary?.unreadCount ?? 0),
      isGone: this.isGone,
    });
  }

  /** @param {number} unreadCount how many of the messages of others are unread: the latest */
  #firstUnread(unreadCount) {
    const { messages } = this.timeline;
    let first = null;
    for (let n = messages.length - 1, left = unreadCount; n >= 0 && left > 0; n--) {
      if (messages[n].senderId === this.#parts.api.userId) continue;
      first = messages[n].seq;
      left--;
    }
    return first;
  }

  /**
   * Marks messages as read, as soon as there is a connection.
   *
   * @param {number} upToSeq
   */
  async markRead(upToSeq) {
    if (!Number.isInteger(upToSeq)) throw new SwitchboardError("invalid_request", "upToSeq: must be a whole number");
    // What is not known here was not seen.
    this.#toRead = Math.max(this.#toRead, Math.min(upToSeq, this.#parts.list.get(this.id)?.lastSeq ?? 0));
    this.#reading ??= this.#markRead().finally(() => (this.#reading = undefined));
    await this.#reading;
  }

  async #markRead() {
    const { link, list, read } = this.#parts;
    while (link.connection && list.hasUnread(this.id, this.#toRead)) {
      const wait = this.#readAt + READ_EVERY_MS - Date.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      if (!link.connection) return;
      this.#readAt = Date.now();
      read(await link.connection.ask("mark_read", { conversationId: this.id, upToSeq: this.#toRead }));
    }
  }
}

/**
 * A conversation that is open. It is kept complete while somebody holds it: give it back with `release`, or declare it with
 * `await using`.
 */
export class Room {
  #shared;
  #parts;
  #isReleased = false;

  /**
   * @param {SharedRoom} shared
   * @param {Parts} parts
   */
  constructor(shared, parts) {
    this.#shared = shared;
    this.#parts = parts;
  }

  get id() {
    return this.#shared.id;
  }

  /** What it shows now: the same object until something changes. */
  get snapshot() {
    return this.#shared.snapshot;
  }

  /**
   * Calls a function whenever `snapshot` has changed. Returns the function that ends this.
   *
   * @param {() => void} listener
   * @returns {() => void}
   */
  subscribe(listener) {
    return this.#shared.subscribe(listener);
  }

  /**
   * Sends a message, and repeats that until it is stored or refused. Resolves once it is stored.
   *
   * @param {string} content
   * @param {import("./outbox.js").More} [more] the id of the message that it answers, and data
   *   of the application
   * @returns {Promise<Message>}
   */
  send(content, more = {}) {
    if (this.#shared.isGone) return Promise.reject(gone());
    return this.#parts.send(this.id, content, more);
  }

  /**
   * Answers a message.
   *
   * @param {Message} message
   * @param {string} content
   * @param {{metadata?: import("./types.js").Metadata | undefined}} [more]
   */
  reply(message, content, more = {}) {
    return this.send(content, { ...more, replyTo: message.id });
  }

  /**
   * Sends a failed message again.
   *
   * @param {string} clientMessageId
   */
  resend(clientMessageId) {
    this.#parts.outbox.resend(clientMessageId);
  }

  /**
   * Discards a failed message.
   *
   * @param {string} clientMessageId
   */
  discard(clientMessageId) {
    this.#parts.outbox.discard(clientMessageId);
  }

  /**
   * Gives a message of this user another content, and other metadata if that is given; null removes it. If another device edits
   * or deletes the message meanwhile, this is given up with the code `conflict`.
   *
   * @param {Message} message
   * @param {string} content
   * @param {{metadata?: import("./types.js").Metadata | null | undefined}} [more]
   * @returns {Promise<Message>} the message as it is stored then
   */
  async edit(message, content, more = {}) {
    return this.#open().changes.edit(message, content, more);
  }

  /**
   * Deletes a message: its sender may, and owners of its group.
   *
   * @param {Message} message
   * @returns {Promise<Message>}
   */
  async delete(message) {
    return this.#open().changes.delete(message);
  }

  /**
   * Reacts to a message.
   *
   * @param {Message} message
   * @param {string} reaction for example an emoji
   * @returns {Promise<Message>}
   */
  async react(message, reaction) {
    const { changes, api } = this.#open();
    return changes.react(message, reaction, api.userId);
  }

  /**
   * Takes a reaction back.
   *
   * @param {Message} message
   * @param {string} reaction
   * @returns {Promise<Message>}
   */
  async unreact(message, reaction) {
    const { changes, api } = this.#open();
    return changes.unreact(message, reaction, api.userId);
  }

  /**
   * Fetches older messages.
   *
   * @param {number} [limit] how many, 100 at most
   */
  async older(limit) {
    await this.#shared.timeline.loadOlder(limit);
    this.#shared.changed();
  }

  /**
   * The message with this id, if it is here or was fetched by `quote`. Null if this user does not see it.
   *
   * @param {string} messageId
   */
  find(messageId) {
    return this.#shared.timeline.find(messageId);
  }

  /**
   * Fetches a message that another one answers, so that `find` has it.
   *
   * @param {string} messageId
   */
  async quote(messageId) {
    await this.#shared.timeline.quote(messageId);
    this.#shared.changed();
  }

  /**
   * Whether a message shows something that is not stored yet.
   *
   * @param {string} messageId
   */
  isPending(messageId) {
    return this.#shared.timeline.isPending(messageId);
  }

  /**
   * Marks messages as read, if any are not: at most once a second, so it may be called as often as one likes.
   *
   * @param {number} [upToSeq] by default the latest
   */
  async markRead(upToSeq = this.snapshot.summary?.lastSeq ?? 0) {
    await this.#shared.markRead(upToSeq);
  }

  /** Tells the others that the user is typing; call it on every key. */
  typing() {
    this.#parts.typing.tell(this.id);
  }

  /** Tells the others that the user has stopped typing. */
  stopTyping() {
    this.#parts.typing.tellStopped(this.id);
  }

  /**
   * Changes the title or the avatar of a group. Only owners may.
   *
   * @param {{title?: string, avatarUrl?: string | null}} change
   */
  async change(change) {
    const { api, list } = this.#parts;
    const before = list.before();
    list.answered(await api.request(at(this.id), "PATCH", change), before);
  }

  /**
   * A page of the participants, by their ids.
   *
   * @param {{cursor?: string | null | undefined, limit?: number}} [page]
   * @returns {Promise<{participants: import("./types.js").Participant[], nextCursor: string | null}>}
   */
  async participants({ cursor, limit = 100 } = {}) {
    return this.#ofParticipants("GET", { limit: String(limit), ...(cursor ? { cursor } : {}) });
  }

  /**
   * Adds users to a group. They see what is said from then on. Only owners may.
   *
   * @param {string[]} userIds
   */
  async add(userIds) {
    await this.#ofParticipants("POST", {}, { userIds });
  }

  /**
   * Makes a participant of a group an owner or a member. Only owners may.
   *
   * @param {string} userId
   * @param {import("./types.js").Role} role
   */
  async setRole(userId, role) {
    await this.#ofParticipants("PATCH", {}, { userId, role });
  }

  /**
   * Removes a participant from a group. Only owners may.
   *
   * @param {string} userId
   */
  async remove(userId) {
    await this.#ofParticipants("DELETE", { userId });
    if (userId === this.#parts.api.userId) this.#parts.left(this.id);
  }

  /** Leaves a group. */
  leave() {
    return this.remove(this.#parts.api.userId);
  }

  /** Gives it back. After the last holder's `release`, nothing of it is kept up to date. */
  async release() {
    if (this.#isReleased) return;
    this.#isReleased = true;
    await this.#parts.close(this.#shared);
  }

  async [Symbol.asyncDispose]() {
    await this.release();
  }

  #open() {
    if (this.#shared.isGone) throw gone();
    const ended = this.#parts.ended();
    if (ended) throw ended;
    return this.#parts;
  }

  /**
   * @param {string} method
   * @param {Record<string, string>} query
   * @param {object} [body]
   */
  #ofParticipants(method, query, body) {
    const parameters = String(new URLSearchParams(query));
    return this.#parts.api.request(`${at(this.id)}/participants${parameters && "?"}${parameters}`, method, body);
  }
}
