// The client: one user's conversations, kept complete and up to date over connections that come and go.
//
//     const chat = createSwitchboard({ url: "wss://…/v1", token: () => fetchToken() });
//     chat.on("message", (message) => console.log(message.sender.name, message.content));
//     await chat.start();
//     const room = await chat.conversation(await chat.find("bob"));
//     await room.send("Hello, Bob!");
//
// This module puts the parts together, and hands each frame that comes to the parts that it changes:
//
// - link.js is one connection after the other, each brought up to date before it counts; connection.js pairs frames with answers
// - api.js is the HTTP API, and the token for both APIs
// - list.js has the list of conversations and who is online
// - room.js is an open conversation, shared by all who hold it; timeline.js has its messages without gaps and in order
// - outbox.js and changes.js have what this user has sent, and asked to change, that is not stored yet
// - typing.js, events.js, errors.js, checks.js and types.js are what their names say
//
// An application imports beside it what it needs of react.js (hooks), outbox-idb.js (an outbox in IndexedDB), tabs.js (tabs that
// share a connection) and testing.js (a service in memory).

// @ts-check

import { Api, at } from "./api.js";
import { Changes } from "./changes.js";
import { canonical, check, integers, newId, strings } from "./checks.js";
import { REFUSALS, SwitchboardError, gone, malformed } from "./errors.js";
import { Events } from "./events.js";
import { Link } from "./link.js";
import { List } from "./list.js";
import { Outbox } from "./outbox.js";
import { Room as OpenRoom, SharedRoom } from "./room.js";
import { Timeline } from "./timeline.js";
import { Typing } from "./typing.js";

export { SwitchboardError };

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").User} User
 * @typedef {import("./types.js").Metadata} Metadata
 * @typedef {import("./errors.js").ErrorCode} ErrorCode
 * @typedef {import("./types.js").OtherUser} OtherUser
 * @typedef {import("./types.js").Role} Role
 * @typedef {import("./types.js").Reaction} Reaction
 * @typedef {import("./types.js").Summary} Summary
 * @typedef {import("./types.js").Outgoing} Outgoing
 * @typedef {import("./types.js").Participant} Participant
 * @typedef {import("./types.js").RosterChange} RosterChange
 * @typedef {import("./types.js").Presence} Presence
 * @typedef {import("./types.js").Typing} TypingChange
 * @typedef {import("./types.js").ConnectionState} ConnectionState
 * @typedef {import("./types.js").RoomSnapshot} RoomSnapshot
 * @typedef {import("./types.js").Lifecycle} Lifecycle
 * @typedef {import("./types.js").OutboxStore} OutboxStore
 * @typedef {import("./types.js").Options} Options
 * @typedef {import("./types.js").Tabs} Tabs
 * @typedef {import("./room.js").Room} Room
 * @typedef {import("./types.js").EventMap} EventMap
 */

/**
 * Makes a client of one user. It does nothing before `start`.
 *
 * @param {Options} options
 */
export function createSwitchboard(options) {
  return new Switchboard(options);
}

/** One user's conversations. Made by {@link createSwitchboard}. */
export class Switchboard {
  /** @type {Events<EventMap>} */
  #events = new Events();
  #api;
  #link;
  #list;
  #typing;
  #outbox;
  #changes;
  /** @type {import("./room.js").Parts} */
  #parts;
  /** The conversations that somebody holds. @type {Map<string, SharedRoom>} */
  #rooms = new Map();
  /** The last join or leave of each conversation: the next one waits for it. @type {Map<string, Promise<unknown>>} */
  #membership = new Map();
  /** Why nothing can be asked for; undefined while it runs, and before the first start. @type {SwitchboardError | undefined} */
  #ended;
  #signal;

  /** @param {Options} options */
  constructor(options) {
    const { url, token, signal } = options;
    const fetch = options.fetch ?? ((...request) => globalThis.fetch(...request));
    this.#api = new Api((options.api ?? apiAt(url)).replace(/\/$/, ""), token, fetch, (userId) => this.#outbox.open(userId));
    this.#link = new Link(options, this.#api, {
      hear: (frame) => this.#hear(frame),
      compare: (pong) => this.#compare(pong.conversations),
      synchronise: (connection, isNew) => this.#synchronise(connection, isNew),
      online: () => void this.#sendAll(),
      changed: (state) => this.#connectionChanged(state),
      problem: this.#complain,
    });
    this.#list = new List(this.#api, {
      changed: (conversationId) => this.#listChanged(conversationId),
      gone: (conversationId) => this.#forget(conversationId),
      read: (conversationId, { readerId, upToSeq, readAt }) => this.#timeline(conversationId)?.markRead(readerId, upToSeq, readAt),
      problem: this.#complain,
    });
    this.#typing = new Typing(this.#link, (typing) => {
      this.#rooms.get(typing.conversationId)?.changed();
      this.#events.emit("typing", typing);
    });
    this.#outbox = new Outbox(this.#link, options, {
      stored: (message) => this.#stored(message),
      changed: (outgoing) => {
        this.#rooms.get(outgoing.conversationId)?.changed();
        this.#events.emit("outgoing", outgoing);
      },
      sendAll: () => void this.#sendAll(),
      problem: this.#complain,
    });
    this.#changes = new Changes(this.#link, options, {
      timeline: (conversationId) => this.#timeline(conversationId),
      answered: (answer) => this.#messageChanged(answer),
      changed: (conversationId) => this.#rooms.get(conversationId)?.changed(),
      mayAsk: () => !this.#outbox.isSuspecting,
    });
    this.#parts = {
      api: this.#api,
      link: this.#link,
      list: this.#list,
      outbox: this.#outbox,
      changes: this.#changes,
      typing: this.#typing,
      send: (conversationId, content, more) => this.send(conversationId, content, more),
      ended: () => this.#ended,
      read: (read) => this.#read(read),
      left: (conversationId) => this.#forget(conversationId),
      close: (shared) => this.#close(shared),
    };
    this.#signal = signal;
    signal?.addEventListener("abort", () => this.stop(), { once: true });
  }

  // The connection.

  /**
   * Connects, and stays connected until `stop`. Resolves once connected for the first time. Rejects if that is of no use, such as
   * with a token that is refused, and if there is no connection after 30 seconds; in that case it goes on trying.
   *
   * @returns {Promise<void>}
   */
  start() {
    if (this.#signal?.aborted) return Promise.reject(new SwitchboardError("stopped", "the signal is aborted"));
    this.#ended = undefined;
    // A client that was stopped knows its user. Else the first token tells.
    if (this.userId) this.#outbox.open(this.userId);
    return this.#link.start();
  }

  /** Disconnects. What is waited for is rejected. Messages that are not stored yet are kept for the next start. */
  stop() {
    this.#end(new SwitchboardError("stopped", "the client was stopped"));
    this.#typing.stop();
    this.#link.stop();
  }

  /** Checks now that the connection is alive, and opens one if there is none. */
  retry() {
    this.#link.retry();
  }

  /** The state of the connection: the same object until it changes. */
  get connection() {
    return this.#link.state;
  }

  /** The id of this user; empty until there is a token. */
  get userId() {
    return this.#api.userId;
  }

  /**
   * Calls a function at each event of a name. Returns the function that ends this.
   *
   * @template {keyof EventMap} Name
   * @param {Name} name
   * @param {(value: EventMap[Name]) => void} listener
   * @returns {() => void}
   */
  on(name, listener) {
    return this.#events.on(name, listener);
  }

  // Conversations.

  /** The conversations, the one with the latest activity first: the same array until something changes. */
  get conversations() {
    return this.#list.conversations;
  }

  /**
   * Whether somebody is online, as far as is known: of those with whom this user has a conversation of two, or who came or went
   * since. The same object until that changes.
   *
   * @param {string} userId
   * @returns {Readonly<{online: boolean, lastSeenAt: string | null}> | undefined}
   */
  presence(userId) {
    return this.#list.presenceOf(userId);
  }

  /** The number of unread messages in all conversations that are listed. */
  get unreadCount() {
    return this.#list.unreadCount;
  }

  /** Whether there are older conversations than those listed. */
  get hasMoreConversations() {
    return this.#list.hasMore;
  }

  /** Fetches the next page of conversations. */
  async loadMoreConversations() {
    await this.#list.more();
  }

  /**
   * Opens a conversation, and keeps it complete until it is released as often as it was asked for. Resolves once it is complete;
   * without a connection, or before `start`, that is after the next one is there. Nothing is marked as read by it: see {@link Room.markRead}.
   *
   * @param {string} conversationId
   * @param {{signal?: AbortSignal | undefined}} [more] gives up waiting
   * @returns {Promise<Room>}
   */
  async conversation(conversationId, { signal } = {}) {
    if (typeof conversationId !== "string") throw new SwitchboardError("invalid_request", "conversationId: must be a string");
    if (this.connection.state === "failed" && this.#ended) throw this.#ended;
    signal?.throwIfAborted();
    const id = canonical(conversationId);
    const shared = this.#rooms.get(id) ?? this.#open(id);
    shared.holders++;
    /** @type {() => void} */
    let abort = () => {};
    const aborted = new Promise((_, reject) => (abort = () => reject(signal?.reason)));
    signal?.addEventListener("abort", abort, { once: true });
    try {
      await Promise.race([shared.ready, aborted]);
      return new OpenRoom(shared, this.#parts);
    } catch (error) {
      void this.#close(shared);
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * Finds or makes the conversation with a user, and returns its id.
   *
   * @param {string} otherUserId
   * @returns {Promise<string>}
   */
  async find(otherUserId) {
    const { conversationId } = await this.#api.request("/api/conversations/find-or-create", "POST", { otherUserId });
    await this.#list.find(conversationId);
    return conversationId;
  }

  /**
   * Makes a group, of which this user is the owner, and returns its id.
   *
   * @param {{title: string, avatarUrl?: string, participantIds: string[]}} group
   * @returns {Promise<string>}
   */
  async createGroup(group) {
    // If an answer is lost, the repeat finds the group instead of making another one.
    const body = { ...group, clientConversationId: newId() };
    const create = () => this.#api.request("/api/conversations", "POST", body);
    const { id } = await create().catch((error) => {
      if (!error.retryable) throw error;
      return create();
    });
    await this.#list.find(id).catch(() => {});
    return id;
  }

  /**
   * Sends a message to a conversation that need not be open: see {@link Room.send}.
   *
   * @param {string} conversationId
   * @param {string} content
   * @param {import("./outbox.js").More} [more]
   * @returns {Promise<Message>}
   */
  send(conversationId, content, more = {}) {
    if (typeof conversationId !== "string" || !conversationId || typeof content !== "string") {
      return Promise.reject(new SwitchboardError("invalid_request", "conversationId, content: must be strings"));
    }
    if (this.#ended) return Promise.reject(this.#ended);
    const id = canonical(conversationId);
    this.#typing.sent(id);
    return this.#outbox.send(id, content, more);
  }

  /**
   * Sends a failed message again.
   *
   * @param {string} clientMessageId
   */
  resend(clientMessageId) {
    this.#outbox.resend(clientMessageId);
  }

  /**
   * Discards a failed message.
   *
   * @param {string} clientMessageId
   */
  discard(clientMessageId) {
    this.#outbox.discard(clientMessageId);
  }

  /** This user's messages that are not stored yet, in the order in which they were sent: the same array until something changes. */
  get outgoing() {
    return this.#outbox.all;
  }

  /** The number of messages and changes that are not stored yet. */
  get unsentCount() {
    return this.#outbox.size + this.#changes.size;
  }

  /**
   * Blocks a user: neither of the two gets messages, presence or typing of the other any more.
   *
   * @param {string} userId
   */
  async block(userId) {
    await this.#api.request(`/api/blocks?${new URLSearchParams({ userId })}`, "PUT");
  }

  /** @param {string} userId */
  async unblock(userId) {
    await this.#api.request(`/api/blocks?${new URLSearchParams({ userId })}`, "DELETE");
  }

  /**
   * The ids of the users whom this user has blocked.
   *
   * @returns {Promise<string[]>}
   */
  async blocked() {
    return (await this.#api.request("/api/blocks")).userIds;
  }

  // Rooms.

  /** @param {string} id */
  #timeline(id) {
    return this.#rooms.get(id)?.timeline;
  }

  /**
   * @param {string} id
   * @returns {SharedRoom}
   */
  #open(id) {
    const changed = () => this.#rooms.get(id)?.changed();
    const page = async (/** @type {string} */ query) => {
      const page = await this.#api.request(`${at(id)}/messages?${query}${query && "&"}markRead=false`);
      if (!Array.isArray(page.messages)) throw malformed("messages");
      integers({ firstSeq: page.firstSeq, lastChange: page.lastChange });
      page.messages.forEach(check);
      return page;
    };
    const changes = async (/** @type {number} */ after) => {
      const before = this.#list.before();
      const changes = await this.#api.request(`${at(id)}/changes?after=${after}&limit=100`);
      if (!Array.isArray(changes.messages)) throw malformed("messages");
      integers({ lastChange: changes.lastChange });
      changes.messages.forEach(check);
      if (changes.conversation) this.#list.answered(changes.conversation, before);
      return changes;
    };
    const added = (/** @type {Message[]} */ messages) => {
      changed();
      for (const message of messages) this.#events.emit("message", message);
    };
    const timeline = new Timeline(id, { page, changes }, added, changed);
    this.#changes.show(timeline);
    const shared = new SharedRoom(timeline, this.#parts);
    this.#rooms.set(id, shared);
    const { connection } = this.#link;
    if (connection) {
      // If the connection is lost, the next one joins the conversation; if it is not, a new one is better.
      void this.#join(connection, shared).catch(() => connection.close());
    }
    return shared;
  }

  /** @param {SharedRoom} shared */
  async #close(shared) {
    const { id } = shared;
    if (--shared.holders > 0 || this.#rooms.get(id) !== shared) return;
    this.#rooms.delete(id);
    const leave = async () => {
      // It may have been opened again meanwhile. Without a connection it is left already.
      if (!this.#rooms.has(id)) await this.#link.connection?.ask("leave_conversation", { conversationId: id });
    };
    await this.#inTurn(id, leave).catch(() => {});
  }

  /**
   * Joins a conversation and fetches its missing messages. A conversation that the service refuses is closed.
   *
   * @param {import("./connection.js").Connection} connection
   * @param {SharedRoom} shared
   */
  async #join(connection, shared) {
    const { id, timeline } = shared;
    try {
      const { lastSeq, lastChange } = await this.#inTurn(id, () => connection.ask("join_conversation", { conversationId: id }));
      integers({ lastSeq, lastChange });
      // After the join, so that no message and no change falls between those fetched and those pushed.
      if (!timeline.loaded) await timeline.load();
      await Promise.all([timeline.catchUp(lastSeq), timeline.catchUpChanges(lastChange)]);
      await this.#list.find(id).catch(() => {});
      shared.becomeReady();
      shared.changed();
    } catch (caught) {
      const error = /** @type {SwitchboardError} */ (caught);
      if (!REFUSALS.has(error.code)) throw error;
      this.#forget(id, error);
      this.#complain(error);
    }
  }

  /**
   * Runs joins and leaves of one conversation one after the other, because the service handles frames concurrently.
   *
   * @template T
   * @param {string} conversationId
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  #inTurn(conversationId, work) {
    const before = this.#membership.get(conversationId) ?? Promise.resolve();
    const done = before.then(work, work);
    const settled = done.catch(() => {}).then(() => {
      if (this.#membership.get(conversationId) === settled) this.#membership.delete(conversationId);
    });
    this.#membership.set(conversationId, settled);
    return done;
  }

  /**
   * Drops a conversation in which this user does not take part any more.
   *
   * @param {string} conversationId
   * @param {SwitchboardError} [reason]
   */
  #forget(conversationId, reason = gone()) {
    const room = this.#rooms.get(conversationId);
    this.#rooms.delete(conversationId);
    const wasListed = this.#list.forget(conversationId);
    this.#changes.forget(reason, conversationId);
    this.#outbox.forget(conversationId, reason);
    if (room) {
      room.isGone = true;
      room.refuse(reason);
      room.changed();
    }
    if (room || wasListed) this.#events.emit("gone", conversationId);
  }

  // Following the link.

  /** @param {ConnectionState} state */
  #connectionChanged(state) {
    if (state.state === "failed" && state.error) this.#end(state.error);
    this.#events.emit("connection", state);
  }

  /**
   * Rejects all that is waited for.
   *
   * @param {SwitchboardError} error
   */
  #end(error) {
    this.#ended = error;
    this.#outbox.stop(error);
    this.#changes.forget(error);
    for (const room of this.#rooms.values()) {
      // Those that are complete are joined again after the next start.
      if (!room.isReady && this.#rooms.delete(room.id)) room.refuse(error);
    }
  }

  /**
   * Fetches everything that earlier connections may have missed.
   *
   * @param {import("./connection.js").Connection} connection
   * @param {boolean} isNew
   */
  async #synchronise(connection, isNew) {
    if (isNew) this.#list.forgetPresence();
    const joining = [...this.#rooms.values()].map((room) => this.#join(connection, room));
    await Promise.all([this.#list.refresh(), ...joining]);
  }

  async #sendAll() {
    await this.#outbox.deliverSuspects();
    await this.#changes.deliverSuspects();
    this.#changes.deliverAll();
    this.#outbox.deliverAll();
    // What could not be marked before.
    for (const room of this.#rooms.values()) void room.markRead(0).catch(() => {});
  }

  /**
   * Compares the service's `lastSeq` and `lastChange` of each conversation with what is here.
   *
   * @param {{conversationId: string, lastSeq: number, lastChange: number}[]} heads
   */
  #compare(heads) {
    for (const { conversationId, lastSeq, lastChange } of heads) integers({ lastSeq, lastChange }), strings({ conversationId });
    for (const { conversationId, lastSeq, lastChange } of heads) {
      const timeline = this.#timeline(conversationId);
      timeline?.catchUp(lastSeq).catch(() => {});
      timeline?.catchUpChanges(lastChange).catch(() => {});
    }
    this.#list.compare(heads);
  }

  /** @param {import("./connection.js").Frame} frame */
  #hear({ type, data, message }) {
    switch (type) {
      case "new_message":
        // It may be this user's own, from another device or as the answer to an earlier try.
        return this.#stored(data);
      case "message_changed":
        return this.#messageChanged(data);
      case "conversation_updated":
        return this.#update(data);
      case "conversation_changed":
        return this.#groupChanged(data);
      case "participants_changed":
        return this.#rosterChanged(data);
      case "messages_read":
        return this.#read(data);
      case "user_online":
      case "user_offline":
        return this.#presence({ ...data, online: type === "user_online", lastSeenAt: data.lastSeenAt ?? null });
      case "user_typing":
        return this.#typing.heard(data, data.expiresInMs);
      case "user_stopped_typing":
        return this.#typing.heard(data, 0);
      default:
        // A frame of the gateway's own does not name the frame that it answers, which will run into its time limit.
        if (message) this.#complain(new SwitchboardError("gateway", message, { retryable: true }));
    }
  }

  /** @param {Message} message a new message that was pushed or sent */
  #stored(message) {
    check(message);
    const { conversationId, senderId } = message;
    this.#typing.heard({ conversationId, userId: senderId }, 0);
    this.#timeline(conversationId)?.add(message);
    this.#list.take(message);
    if (senderId === this.userId) this.#outbox.arrived(message);
  }

  /** @param {{conversationId: string, lastMessage: Message, lastSeq: number, unreadCount: number}} update */
  #update(update) {
    const { conversationId, lastMessage, lastSeq, unreadCount } = update;
    strings({ conversationId });
    integers({ lastSeq, unreadCount });
    check(lastMessage);
    this.#typing.heard({ conversationId, userId: lastMessage.senderId }, 0);
    this.#timeline(conversationId)?.add(lastMessage);
    this.#list.update(update);
  }

  /** @param {{message: Message, change: number | null}} change */
  #messageChanged({ message, change }) {
    check(message);
    // Null if nothing has ever changed it.
    if (change === null) return;
    integers({ change });
    const { conversationId } = message;
    this.#timeline(conversationId)?.changed(change, message);
    this.#list.messageChanged(conversationId, change, message);
    this.#rooms.get(conversationId)?.changed();
  }

  /** @param {any} change */
  #groupChanged(change) {
    const { conversationId, title, participantCount, lastChange } = change;
    strings({ conversationId, title });
    integers({ participantCount, lastChange });
    this.#timeline(conversationId)?.changed(lastChange);
    this.#list.groupChanged(change);
  }

  /** @param {RosterChange} change */
  #rosterChanged(change) {
    const { conversationId, participantCount, lastChange, added } = change;
    strings({ conversationId });
    integers({ participantCount, lastChange });
    const room = this.#rooms.get(conversationId);
    room?.timeline.changed(lastChange);
    if (!this.#list.rosterChanged(change)) return;
    const { connection } = this.#link;
    // The removal before it emptied the room, and was not heard of.
    if (room && connection && added.includes(this.userId)) void this.#join(connection, room).catch(() => {});
    this.#events.emit("participants", change);
  }

  /** @param {{conversationId: string, readerId: string, upToSeq: number, readAt: string}} read */
  #read(read) {
    const { conversationId, readerId, upToSeq, readAt } = read;
    strings({ conversationId, readerId, readAt });
    integers({ upToSeq });
    // In a group no message is read at a time.
    if (this.#list.get(conversationId)?.kind !== "group") this.#timeline(conversationId)?.markRead(readerId, upToSeq, readAt);
    this.#list.read(conversationId, read);
    this.#rooms.get(conversationId)?.changed();
  }

  /** @param {Presence & {version: number}} presence */
  #presence(presence) {
    const { userId, online, lastSeenAt } = presence;
    if (this.#list.presence(presence)) this.#events.emit("presence", { userId, online, lastSeenAt });
  }

  /** @param {string} [conversationId] */
  #listChanged(conversationId) {
    if (conversationId) this.#rooms.get(conversationId)?.changed();
    else for (const room of this.#rooms.values()) room.changed();
    this.#events.emit("conversations", undefined);
  }

  /** @param {any} error */
  #complain = (error) => this.#events.emit("problem", error);
}

/**
 * The HTTP API at the host of the WebSocket API.
 *
 * @param {string} url
 */
function apiAt(url) {
  return url.replace(/^ws/, "http").replace(/^(https?:\/\/[^/]*).*$/, "$1");
}
