// A service in memory, for the unit tests of applications: it answers as Switchboard does, and needs no network. What a server
// decides by load, such as rate limits, it does not.

// @ts-check

import { canonical } from "./checks.js";

/** The most characters of a message, and of a reaction. */
const LONGEST = 2000;
const LONGEST_REACTION = 32;
const MOST_REACTIONS = 20;
/** The most bytes of the metadata of a message. */
const MOST_METADATA = 4096;
const TYPING_MS = 6000;

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").User} User
 * @typedef {import("./types.js").Role} Role
 * @typedef {{role: Role, joinedAt: string, firstSeq: number, position: number, marks: {upToSeq: number, at: string}[]}} Member
 * @typedef {{id: string, kind: "direct" | "group", title: string | null, avatarUrl: string | null, createdAt: number,
 *   lastChange: number, members: Map<string, Member>, messages: Message[], reactions: Map<string, Map<string, string[]>>,
 *   creator: string, clientConversationId: string | null}} Stored a conversation; reactions by message, each with who gave it
 * @typedef {{userId: string, socket: any, joined: Set<string>}} Connection
 */

/** A refusal, as the service words it. */
class Refusal extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {number} status of the HTTP API
   */
  constructor(code, message, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** @param {string} message */
const invalid = (message) => new Refusal("invalid_request", message, 400);
const forbidden = () => new Refusal("forbidden", "no conversation of yours has this id", 403);

/** Makes a service of its own. */
export function createTestService() {
  return new TestService();
}

/** A service in memory. Made by {@link createTestService}. */
export class TestService {
  /** @type {Map<string, User & {lastSeenAt: string | null, version: number}>} */
  #users = new Map();
  /** @type {Map<string, Stored>} */
  #conversations = new Map();
  /** @type {Set<Connection>} */
  #connections = new Set();
  /** Whom each user has blocked. @type {Map<string, Set<string>>} */
  #blocks = new Map();
  /** @type {{action: string, error: object}[]} */
  #failures = [];
  #isOnline = true;
  #ids = 0;

  /**
   * The options for `createSwitchboard` of a user.
   *
   * @param {string} userId
   * @param {{name?: string, displayName?: string, avatarUrl?: string}} [profile]
   * @returns {{url: string, token: () => string, WebSocket: typeof WebSocket, fetch: typeof fetch}}
   */
  options(userId, profile = {}) {
    const { name = null, displayName = null, avatarUrl = null } = profile;
    this.#upsert({ sub: userId, name, displayName, avatarUrl });
    const token = () => {
      const claims = JSON.stringify({ sub: userId, exp: Math.floor(Date.now() / 1000) + 3600 });
      return `e30.${base64(claims).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "")}.test`;
    };
    const service = this;
    // What the client uses of a WebSocket.
    class TestSocket {
      readyState = 0;
      /** @type {Connection | undefined} */
      connection;

      constructor() {
        queueMicrotask(() => service.#opens(this, userId));
      }

      /** @param {string} text */
      send(text) {
        const { connection } = this;
        if (connection) queueMicrotask(() => service.#hears(connection, text));
      }

      close() {
        service.#closed(this);
      }
    }
    return {
      url: "ws://switchboard.test/v1",
      token,
      WebSocket: /** @type {any} */ (TestSocket),
      fetch: /** @type {any} */ ((/** @type {string} */ url, /** @type {any} */ request) => this.#requested(url, request, userId)),
    };
  }

  /**
   * Breaks the connections of a user, or all. Returns how many there were.
   *
   * @param {string} [userId]
   */
  cutOff(userId) {
    const those = [...this.#connections].filter((connection) => userId === undefined || connection.userId === userId);
    for (const { socket } of those) this.#closed(socket);
    return those.length;
  }

  /**
   * The number of connections that a user has open.
   *
   * @param {string} userId
   */
  connectionsOf(userId) {
    return [...this.#connections].filter((connection) => connection.userId === userId).length;
  }

  /**
   * Answers the next frame with this action with an error.
   *
   * @param {string} action
   * @param {{code?: string, message?: string, retryable?: boolean, retryAfterMs?: number}} [error]
   */
  failNext(action, { code = "unavailable", message = "the service cannot do this now: try again", retryable = true, retryAfterMs } = {}) {
    const error = { code, message, retryable, ...(retryAfterMs !== undefined && { retryAfterMs }) };
    this.#failures.push({ action, error });
  }

  /** There is no network until `goOnline`. Clients come back after their pause, or at once after `retry`. */
  goOffline() {
    this.#isOnline = false;
    this.cutOff();
  }

  goOnline() {
    this.#isOnline = true;
  }

  // Connections.

  /**
   * @param {any} socket
   * @param {string} userId
   */
  #opens(socket, userId) {
    if (socket.readyState !== 0) return;
    if (!this.#isOnline) return this.#closed(socket);
    const wasOnline = this.#isThere(userId);
    socket.readyState = 1;
    socket.connection = { userId, socket, joined: new Set() };
    this.#connections.add(socket.connection);
    socket.onopen?.({});
    if (!wasOnline) this.#tellPresence(userId, true);
  }

  /** @param {any} socket */
  #closed(socket) {
    if (socket.readyState === 3) return;
    socket.readyState = 3;
    const { connection } = socket;
    this.#connections.delete(connection);
    queueMicrotask(() => socket.onclose?.({ code: 1006 }));
    if (!connection || this.#isThere(connection.userId)) return;
    this.#user(connection.userId).lastSeenAt = now();
    this.#tellPresence(connection.userId, false);
  }

  /** @param {string} userId */
  #isThere(userId) {
    return [...this.#connections].some((connection) => connection.userId === userId);
  }

  /**
   * @param {string} userId
   * @param {boolean} online
   */
  #tellPresence(userId, online) {
    const user = this.#user(userId);
    const version = ++user.version;
    const type = online ? "user_online" : "user_offline";
    const data = { userId, version, ...(!online && { lastSeenAt: user.lastSeenAt }) };
    const contacts = new Set([...this.#conversations.values()].filter(({ members }) => members.has(userId)).flatMap(({ members }) => [...members.keys()]));
    for (const connection of this.#connections) {
      const { userId: other } = connection;
      if (other !== userId && contacts.has(other) && !this.#areApart(other, userId)) push(connection, { type, data });
    }
  }

  /**
   * @param {Connection} connection
   * @param {string} text
   */
  #hears(connection, text) {
    if (!this.#connections.has(connection)) return;
    const { action, id, ...fields } = JSON.parse(text);
    const failing = this.#failures.findIndex((failure) => failure.action === action);
    if (failing !== -1) {
      const [{ error }] = this.#failures.splice(failing, 1);
      return push(connection, { type: "error", ...(id !== undefined && { id }), error });
    }
    try {
      const data = this.#does(connection, action, fields);
      if (data) push(connection, { ...(id !== undefined && { id }), ...data });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const { code, message } = error;
      push(connection, { type: "error", ...(id !== undefined && { id }), error: { code, message, retryable: false } });
    }
  }

  /**
   * Does what a frame asks for, and returns the frame that answers it.
   *
   * @param {Connection} connection
   * @param {string} action
   * @param {any} fields
   */
  #does(connection, action, fields) {
    const { userId } = connection;
    switch (action) {
      case "join_conversation": {
        const conversation = this.#own(userId, fields.conversationId);
        this.#refuseApart(userId, conversation);
        connection.joined.add(conversation.id);
        const { id, lastChange } = conversation;
        const onlineUserIds = [...conversation.members.keys()].filter((other) => this.#isThere(other) && !this.#areApart(userId, other));
        return { type: "joined_conversation", data: { conversationId: id, lastSeq: lastSeq(conversation), lastChange, onlineUserIds } };
      }
      case "leave_conversation": {
        const conversationId = canonical(fields.conversationId);
        connection.joined.delete(conversationId);
        return { type: "left_conversation", data: { conversationId } };
      }
      case "send_message":
        return { type: "new_message", data: this.#send(connection, fields) };
      case "mark_read": {
        const conversation = this.#own(userId, fields.conversationId);
        return { type: "messages_read", data: this.#read(conversation, userId, fields.upToSeq ?? lastSeq(conversation), connection) };
      }
      case "typing_start":
      case "typing_stop": {
        const conversationId = canonical(fields.conversationId);
        if (!connection.joined.has(conversationId)) throw new Refusal("forbidden", "join the conversation first", 403);
        const starts = action === "typing_start";
        const data = { userId, conversationId, ...(starts && { expiresInMs: TYPING_MS }) };
        this.#pushTo(conversationId, { type: starts ? "user_typing" : "user_stopped_typing", data }, connection);
        return undefined;
      }
      case "ping": {
        const heads = this.#list(userId).slice(0, 100);
        const conversations = heads.map((one) => ({ conversationId: one.id, lastSeq: lastSeq(one), lastChange: one.lastChange }));
        return { type: "pong", data: { serverTime: now(), tokenExpiresAt: new Date(Date.now() + 3_600_000).toISOString(), conversations } };
      }
      case "edit_message":
      case "delete_message":
      case "add_reaction":
      case "remove_reaction":
        return { type: "message_changed", data: this.#change(connection, action, fields) };
      default:
        throw invalid(`action: there is no ${action}`);
    }
  }

  /**
   * @param {Connection} connection
   * @param {any} fields
   */
  #send(connection, { conversationId, content, clientMessageId = null, replyTo = null, metadata = null }) {
    const { userId } = connection;
    const conversation = this.#own(userId, conversationId);
    this.#refuseApart(userId, conversation);
    checkContent(content);
    checkMetadata(metadata);
    if (clientMessageId !== null && !within(clientMessageId, 64)) throw invalid("clientMessageId: must have 1 to 64 characters");
    const member = /** @type {Member} */ (conversation.members.get(userId));
    const answers = conversation.messages.find(({ id }) => id === replyTo);
    if (replyTo !== null && (!answers || answers.seq < member.firstSeq)) throw invalid("replyTo: must be a message of this conversation");
    const known = conversation.messages.find((one) => one.senderId === userId && clientMessageId !== null && one.clientMessageId === clientMessageId);
    const id = this.#newId();
    /** @type {Message} */
    const message = known ?? {
      id,
      conversationId: conversation.id,
      seq: lastSeq(conversation) + 1,
      senderId: userId,
      sender: this.#profile(userId),
      content,
      clientMessageId,
      createdAt: now(),
      readAt: null,
      replyTo,
      metadata,
      reactions: [],
      editedAt: null,
      deletedAt: null,
      change: null,
    };
    if (!known) conversation.messages.push(message);
    this.#pushMessage(conversation, message, connection);
    return this.#shown(conversation, message);
  }

  /**
   * @param {Connection} connection
   * @param {string} action
   * @param {any} fields
   */
  #change(connection, action, fields) {
    const { userId } = connection;
    const found = [...this.#conversations.values()].flatMap((conversation) => {
      const message = conversation.messages.find(({ id }) => id === fields.messageId);
      const member = conversation.members.get(userId);
      return message && member && message.seq >= member.firstSeq ? [{ conversation, message, member }] : [];
    })[0];
    if (!found) throw new Refusal("forbidden", "no message that you see has this id", 403);
    const { conversation, message, member } = found;
    const mine = message.senderId === userId;
    const answer = () => ({ message: this.#shown(conversation, message), change: message.change });
    const deleted = () => invalid("messageId: the message is deleted");
    const reactions = conversation.reactions.get(message.id) ?? new Map();
    /** @type {Partial<Message> | undefined} */
    let change;
    if (action === "edit_message") {
      if (!mine) throw new Refusal("forbidden", "only its sender may edit a message", 403);
      if ("ifChange" in fields && fields.ifChange !== message.change) return answer();
      if (message.deletedAt) throw deleted();
      this.#refuseApart(userId, conversation);
      checkContent(fields.content);
      checkMetadata(fields.metadata ?? null);
      const metadata = "metadata" in fields ? fields.metadata : message.metadata;
      const isSame = fields.content === message.content && JSON.stringify(metadata) === JSON.stringify(message.metadata);
      change = isSame ? undefined : { content: fields.content, metadata, editedAt: now() };
    } else if (action === "delete_message") {
      if (!mine && member.role !== "owner") throw new Refusal("forbidden", "only its sender and owners may delete a message", 403);
      conversation.reactions.delete(message.id);
      change = message.deletedAt ? undefined : { content: "", metadata: null, reactions: [], deletedAt: now() };
    } else {
      const { reaction } = fields;
      if (!within(reaction, LONGEST_REACTION)) throw invalid(`reaction: must have 1 to ${LONGEST_REACTION} characters`);
      const adds = action === "add_reaction";
      if (message.deletedAt && adds) throw deleted();
      if (adds) this.#refuseApart(userId, conversation);
      const given = reactions.get(reaction) ?? [];
      if (given.includes(userId) === adds) return answer();
      if (adds && !reactions.has(reaction) && reactions.size >= MOST_REACTIONS) throw invalid(`reaction: there are ${MOST_REACTIONS} different ones already`);
      const then = adds ? [...given, userId] : given.filter((/** @type {string} */ one) => one !== userId);
      if (then.length > 0) reactions.set(reaction, then);
      else reactions.delete(reaction);
      conversation.reactions.set(message.id, reactions);
      const summary = [...reactions].map(([reaction, userIds]) => ({ reaction, count: userIds.length, userIds: userIds.slice(0, 10) }));
      change = { reactions: summary };
    }
    if (!change) return answer();
    Object.assign(message, change, { change: ++conversation.lastChange });
    for (const other of this.#connections) {
      const theirs = conversation.members.get(other.userId);
      if (other === connection || !theirs || message.seq < theirs.firstSeq || this.#isCutOff(userId, other.userId, conversation)) continue;
      if (other.joined.has(conversation.id)) push(other, { type: "message_changed", data: answer() });
      else if (message.seq === lastSeq(conversation)) this.#pushUpdate(conversation, other);
    }
    return answer();
  }

  /**
   * @param {Stored} conversation
   * @param {string} userId
   * @param {number} upToSeq
   * @param {Connection} [connection] the one that is answered
   */
  #read(conversation, userId, upToSeq, connection) {
    const member = /** @type {Member} */ (conversation.members.get(userId));
    const upTo = Math.min(upToSeq, lastSeq(conversation));
    const data = { conversationId: conversation.id, readerId: userId, upToSeq: Math.max(upTo, member.position), readAt: now() };
    if (upTo <= member.position) return data;
    member.position = upTo;
    member.marks.push({ upToSeq: upTo, at: data.readAt });
    for (const other of this.#connections) {
      const isTold = other.userId === userId || (conversation.kind === "direct" && conversation.members.has(other.userId) && !this.#areApart(userId, other.userId));
      if (other !== connection && isTold) push(other, { type: "messages_read", data });
    }
    return data;
  }

  /**
   * @param {Stored} conversation
   * @param {Message} message
   * @param {Connection} from
   */
  #pushMessage(conversation, message, from) {
    for (const other of this.#connections) {
      const member = conversation.members.get(other.userId);
      if (other === from || !member || message.seq < member.firstSeq || this.#isCutOff(from.userId, other.userId, conversation)) continue;
      if (other.joined.has(conversation.id)) push(other, { type: "new_message", data: this.#shown(conversation, message) });
      else this.#pushUpdate(conversation, other);
    }
  }

  /**
   * @param {Stored} conversation
   * @param {Connection} to
   */
  #pushUpdate(conversation, to) {
    const { id, lastMessage, lastSeq, unreadCount } = this.#summary(conversation, to.userId);
    push(to, { type: "conversation_updated", data: { conversationId: id, lastMessage, lastSeq, unreadCount } });
  }

  /**
   * @param {string} conversationId
   * @param {object} frame
   * @param {Connection} from
   */
  #pushTo(conversationId, frame, from) {
    const conversation = this.#conversations.get(conversationId);
    for (const other of this.#connections) {
      if (other !== from && other.joined.has(conversationId) && conversation && !this.#isCutOff(from.userId, other.userId, conversation)) push(other, frame);
    }
  }

  /**
   * @param {Stored} conversation
   * @param {object} frame
   * @param {string[]} [others] who is told although they do not take part
   */
  #pushToMembers(conversation, frame, others = []) {
    for (const connection of this.#connections) {
      if (conversation.members.has(connection.userId) || others.includes(connection.userId)) push(connection, frame);
    }
  }

  // What is stored.

  /** @param {{sub: string, name: string | null, displayName: string | null, avatarUrl: string | null}} claims */
  #upsert({ sub, name, displayName, avatarUrl }) {
    const known = this.#users.get(sub);
    this.#users.set(sub, { id: sub, name, displayName, avatarUrl, lastSeenAt: known?.lastSeenAt ?? null, version: known?.version ?? 0 });
  }

  /** @param {string} userId */
  #user(userId) {
    const user = this.#users.get(userId);
    if (!user) throw new Refusal("not_found", `there is no user ${userId}`, 404);
    return user;
  }

  /** @param {string} userId @returns {User} */
  #profile(userId) {
    const { id, name, displayName, avatarUrl } = this.#user(userId);
    return { id, name, displayName, avatarUrl };
  }

  /**
   * @param {string} one
   * @param {string} other
   */
  #areApart(one, other) {
    return Boolean(this.#blocks.get(one)?.has(other) || this.#blocks.get(other)?.has(one));
  }

  /**
   * @param {string} one
   * @param {string} other
   * @param {Stored} conversation
   */
  #isCutOff(one, other, conversation) {
    return conversation.kind === "direct" && this.#areApart(one, other);
  }

  /**
   * @param {string} userId
   * @param {Stored} conversation
   */
  #refuseApart(userId, conversation) {
    for (const other of conversation.members.keys()) if (this.#isCutOff(userId, other, conversation)) throw forbidden();
  }

  /**
   * A conversation in which a user takes part.
   *
   * @param {string} userId
   * @param {string} id
   */
  #own(userId, id) {
    const known = canonical(String(id));
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(known)) throw invalid("conversationId: must be a UUID");
    const conversation = this.#conversations.get(known);
    if (!conversation?.members.has(userId)) throw forbidden();
    return conversation;
  }

  /** @param {string} userId the conversations of a user, the latest first */
  #list(userId) {
    const activity = (/** @type {Stored} */ one) => {
      const member = /** @type {Member} */ (one.members.get(userId));
      const last = one.messages.at(-1);
      return last && last.seq >= member.firstSeq ? Date.parse(last.createdAt) : Date.parse(member.joinedAt);
    };
    const order = (/** @type {Stored} */ one, /** @type {Stored} */ other) => activity(other) - activity(one) || (one.id < other.id ? 1 : -1);
    return [...this.#conversations.values()].filter(({ members }) => members.has(userId)).sort(order);
  }

  /**
   * A message with when the other one has read it.
   *
   * @param {Stored} conversation
   * @param {Message} message
   */
  #shown(conversation, message) {
    const other = [...conversation.members].find(([userId]) => userId !== message.senderId)?.[1];
    const mark = conversation.kind === "direct" ? other?.marks.find(({ upToSeq }) => upToSeq >= message.seq) : undefined;
    return { ...message, sender: this.#profile(message.senderId), readAt: mark?.at ?? null };
  }

  /**
   * @param {Stored} conversation
   * @param {string} userId
   */
  #summary(conversation, userId) {
    const { id, kind, title, avatarUrl, members, messages, lastChange } = conversation;
    const { role, firstSeq, position } = /** @type {Member} */ (members.get(userId));
    const last = messages.at(-1);
    const lastMessage = last && last.seq >= firstSeq ? this.#shown(conversation, last) : null;
    const otherId = kind === "direct" ? [...members.keys()].find((other) => other !== userId) : undefined;
    return {
      id,
      kind,
      title,
      avatarUrl,
      role,
      participantCount: members.size,
      otherUser: otherId === undefined ? null : { ...this.#profile(otherId), ...this.#presenceOf(otherId, userId) },
      lastMessage,
      lastMessageAt: lastMessage?.createdAt ?? null,
      firstSeq,
      lastSeq: lastSeq(conversation),
      lastChange,
      unreadCount: messages.filter(({ seq, senderId }) => seq > position && senderId !== userId).length,
    };
  }

  /**
   * @param {string} userId
   * @param {string} to who is told
   */
  #presenceOf(userId, to) {
    if (this.#areApart(userId, to)) return { online: false, lastSeenAt: null };
    return { online: this.#isThere(userId), lastSeenAt: this.#user(userId).lastSeenAt };
  }

  #newId() {
    const time = Date.now().toString(16).padStart(12, "0");
    const count = (++this.#ids).toString(16).padStart(12, "0");
    return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${count}`;
  }

  // The HTTP API.

  /**
   * @param {string} url
   * @param {any} request
   * @param {string} userId
   */
  async #requested(url, { method = "GET", body }, userId) {
    await Promise.resolve();
    if (!this.#isOnline) throw new TypeError("there is no network");
    const { pathname, searchParams } = new URL(url);
    // What the client uses of a response. Not all that tests run in have the whole one.
    const respond = (/** @type {number} */ status, /** @type {unknown} */ answer) => ({
      ok: status < 400,
      status,
      json: async () => JSON.parse(JSON.stringify(answer)),
    });
    try {
      const [status, answer] = this.#answers(method, pathname, searchParams, body ? JSON.parse(body) : {}, userId);
      return respond(status, answer);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const { code, message, status } = error;
      return respond(status, { error: { code, message } });
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {URLSearchParams} query
   * @param {any} body
   * @param {string} userId
   * @returns {[number, any?]}
   */
  #answers(method, path, query, body, userId) {
    const [, , what, id, more] = path.split("/").map(decodeURIComponent);
    if (what === "blocks") return this.#answersBlocks(method, query.get("userId") ?? "", userId);
    if (id === "find-or-create") return this.#findOrCreate(userId, body.otherUserId);
    if (!id) return method === "POST" ? this.#createGroup(userId, body) : [200, this.#page(userId, query)];
    const conversation = this.#own(userId, id);
    if (more === "messages") return [200, this.#history(conversation, userId, query)];
    if (more === "changes") return [200, this.#changes(conversation, userId, query)];
    if (more === "participants") return this.#answersParticipants(method, conversation, userId, query, body);
    if (method === "PATCH") this.#changeGroup(conversation, userId, body);
    return [200, this.#summary(conversation, userId)];
  }

  /**
   * @param {string} method
   * @param {string} other
   * @param {string} userId
   * @returns {[number, any?]}
   */
  #answersBlocks(method, other, userId) {
    const blocked = this.#blocks.get(userId) ?? new Set();
    if (method === "GET") return [200, { userIds: [...blocked].sort() }];
    if (other === userId) throw invalid("userId: must be another user");
    this.#user(other);
    if (method === "PUT") blocked.add(other);
    else blocked.delete(other);
    // A block takes both out of the room.
    const direct = [...this.#conversations.values()].find(({ kind, members }) => kind === "direct" && members.has(userId) && members.has(other));
    if (method === "PUT" && direct) for (const { joined } of this.#connections) joined.delete(direct.id);
    this.#blocks.set(userId, blocked);
    return [204];
  }

  /**
   * @param {string} userId
   * @param {string} other
   * @returns {[number, any]}
   */
  #findOrCreate(userId, other) {
    if (typeof other !== "string") throw invalid("otherUserId: must be a string");
    if (other === userId) throw invalid("otherUserId: must be another user");
    this.#user(other);
    const known = [...this.#conversations.values()].find(({ kind, members }) => kind === "direct" && members.has(userId) && members.has(other));
    const conversation = known ?? this.#make({ kind: "direct", creator: userId }, [[userId, "member"], [other, "member"]]);
    return [known ? 200 : 201, { conversationId: conversation.id }];
  }

  /**
   * @param {string} userId
   * @param {any} body
   * @returns {[number, any]}
   */
  #createGroup(userId, { title, avatarUrl = null, participantIds, clientConversationId = null }) {
    checkTitle(title);
    const known = [...this.#conversations.values()].find((one) => clientConversationId !== null && one.creator === userId && one.clientConversationId === clientConversationId);
    if (known) return [200, this.#summary(known, userId)];
    for (const other of participantIds) this.#user(other);
    const others = [...new Set(/** @type {string[]} */ (participantIds))].filter((other) => other !== userId && !this.#blocks.get(other)?.has(userId));
    /** @type {[string, Role][]} */
    const members = [[userId, "owner"], ...others.map((other) => /** @type {[string, Role]} */ ([other, "member"]))];
    const group = this.#make({ kind: "group", title, avatarUrl, creator: userId, clientConversationId }, members);
    this.#tellRoster(group, members.map(([other]) => other), [], members);
    return [201, this.#summary(group, userId)];
  }

  /**
   * @param {Partial<Stored>} given
   * @param {[string, Role][]} members
   */
  #make(given, members) {
    /** @type {Stored} */
    const conversation = {
      id: this.#newId(),
      kind: "direct",
      title: null,
      avatarUrl: null,
      createdAt: Date.now(),
      lastChange: 0,
      members: new Map(),
      messages: [],
      reactions: new Map(),
      creator: "",
      clientConversationId: null,
      ...given,
    };
    for (const [userId, role] of members) conversation.members.set(userId, newMember(conversation, role));
    this.#conversations.set(conversation.id, conversation);
    return conversation;
  }

  /**
   * @param {Stored} group
   * @param {string[]} added
   * @param {string[]} removed
   * @param {[string, Role][]} roles
   */
  #tellRoster(group, added, removed, roles) {
    const data = {
      conversationId: group.id,
      added,
      removed,
      roles: roles.map(([userId, role]) => ({ userId, role })),
      participantCount: group.members.size,
      lastChange: ++group.lastChange,
    };
    this.#pushToMembers(group, { type: "participants_changed", data }, removed);
  }

  /**
   * @param {Stored} group
   * @param {string} userId
   * @param {any} change
   */
  #changeGroup(group, userId, { title = group.title, avatarUrl = group.avatarUrl }) {
    this.#refuseUnlessOwner(group, userId);
    checkTitle(title);
    if (title === group.title && avatarUrl === group.avatarUrl) return;
    Object.assign(group, { title, avatarUrl, lastChange: group.lastChange + 1 });
    const data = { conversationId: group.id, kind: group.kind, title, avatarUrl, participantCount: group.members.size, lastChange: group.lastChange };
    this.#pushToMembers(group, { type: "conversation_changed", data });
  }

  /**
   * @param {Stored} group
   * @param {string} userId
   */
  #refuseUnlessOwner(group, userId) {
    if (group.kind === "direct") throw invalid("conversationId: is not a group");
    if (group.members.get(userId)?.role !== "owner") throw new Refusal("forbidden", "only owners may do this", 403);
  }

  /**
   * @param {string} method
   * @param {Stored} conversation
   * @param {string} userId
   * @param {URLSearchParams} query
   * @param {any} body
   * @returns {[number, any?]}
   */
  #answersParticipants(method, conversation, userId, query, body) {
    const { members } = conversation;
    if (method === "GET") {
      const after = query.get("cursor") ?? "";
      const limit = limitOf(query, 100);
      const ids = [...members.keys()].sort().filter((id) => id > after);
      const participants = ids.slice(0, limit).map((id) => {
        const { role, joinedAt, position } = /** @type {Member} */ (members.get(id));
        return { user: this.#profile(id), role, joinedAt, readUpToSeq: position, ...this.#presenceOf(id, userId) };
      });
      return [200, { participants, nextCursor: ids.length > limit ? ids[limit - 1] : null }];
    }
    if (method === "POST") {
      this.#refuseUnlessOwner(conversation, userId);
      for (const other of body.userIds) this.#user(other);
      const added = /** @type {string[]} */ (body.userIds).filter((other) => !members.has(other) && !this.#blocks.get(other)?.has(userId));
      for (const other of added) members.set(other, newMember(conversation, "member"));
      if (added.length > 0) this.#tellRoster(conversation, added, [], added.map((other) => [other, "member"]));
      return [200, { participantCount: members.size }];
    }
    const other = body.userId ?? query.get("userId");
    if (conversation.kind === "direct") throw invalid("conversationId: is not a group");
    if (method === "PATCH" || other !== userId) this.#refuseUnlessOwner(conversation, userId);
    const member = members.get(other);
    const isLastOwner = member?.role === "owner" && [...members.values()].filter(({ role }) => role === "owner").length === 1;
    if (method === "PATCH") {
      if (!member) throw new Refusal("not_found", `${other} does not take part`, 404);
      if (isLastOwner && body.role === "member") throw invalid("role: the last owner cannot become a member");
      if (member.role === body.role) return [200, {}];
      member.role = body.role;
      this.#tellRoster(conversation, [], [], [[other, body.role]]);
      return [200, {}];
    }
    if (!member) return [204];
    if (isLastOwner && members.size > 1) throw invalid("userId: make another one owner first");
    members.delete(other);
    for (const connection of this.#connections) if (connection.userId === other) connection.joined.delete(conversation.id);
    if (members.size === 0) this.#conversations.delete(conversation.id);
    this.#tellRoster(conversation, [], [other], []);
    return [204];
  }

  /**
   * @param {string} userId
   * @param {URLSearchParams} query
   */
  #page(userId, query) {
    const limit = limitOf(query, 50);
    const all = this.#list(userId);
    const from = query.get("cursor") ? all.findIndex(({ id }) => id === query.get("cursor")) + 1 : 0;
    const page = all.slice(from, from + limit);
    return { conversations: page.map((one) => this.#summary(one, userId)), nextCursor: from + limit < all.length ? (page.at(-1)?.id ?? null) : null };
  }

  /**
   * @param {Stored} conversation
   * @param {string} userId
   * @param {URLSearchParams} query
   */
  #history(conversation, userId, query) {
    const { firstSeq } = /** @type {Member} */ (conversation.members.get(userId));
    const limit = limitOf(query, 50);
    const seen = conversation.messages.filter(({ seq }) => seq >= firstSeq);
    const place = (/** @type {string} */ name) => {
      const seq = /^\d+$/.test(name) ? Number(name) : seen.find(({ id }) => id === name)?.seq;
      if (seq === undefined) throw invalid("before: must be a seq or the id of a message");
      return seq;
    };
    const [before, after] = [query.get("before"), query.get("after")];
    const from = after === null ? seen.filter(({ seq }) => before === null || seq < place(before)) : seen.filter(({ seq }) => seq > place(after));
    const messages = after === null ? from.slice(-limit) : from.slice(0, limit);
    if (query.get("markRead") !== "false") this.#read(conversation, userId, lastSeq(conversation));
    const { lastChange } = conversation;
    return { messages: messages.map((message) => this.#shown(conversation, message)), hasMore: from.length > limit, firstSeq, lastChange };
  }

  /**
   * @param {Stored} conversation
   * @param {string} userId
   * @param {URLSearchParams} query
   */
  #changes(conversation, userId, query) {
    const { firstSeq } = /** @type {Member} */ (conversation.members.get(userId));
    const after = Number(query.get("after"));
    const limit = limitOf(query, 50);
    const changed = conversation.messages.filter(({ seq, change }) => seq >= firstSeq && (change ?? 0) > after);
    const messages = changed.sort((one, other) => (one.change ?? 0) - (other.change ?? 0)).slice(0, limit);
    const hasMore = changed.length > limit;
    const lastChange = hasMore ? messages.at(-1)?.change : conversation.lastChange;
    return { conversation: this.#summary(conversation, userId), messages: messages.map((message) => this.#shown(conversation, message)), lastChange, hasMore };
  }
}

/**
 * @param {Connection} connection
 * @param {object} frame
 */
function push({ socket }, frame) {
  const data = JSON.stringify(frame);
  queueMicrotask(() => socket.readyState === 1 && socket.onmessage?.({ data }));
}

/** @param {Stored} conversation */
function lastSeq({ messages }) {
  return messages.at(-1)?.seq ?? 0;
}

/**
 * Who joins sees what comes after.
 *
 * @param {Stored} conversation
 * @param {Role} role
 * @returns {Member}
 */
function newMember(conversation, role) {
  const last = lastSeq(conversation);
  return { role, joinedAt: now(), firstSeq: last + 1, position: last, marks: [] };
}

function now() {
  return new Date().toISOString();
}

/** @param {unknown} content */
function checkContent(content) {
  if (typeof content !== "string") throw invalid("content: must be a string");
  if (content.trim() === "") throw invalid(content ? "content: must not be blank" : "content: must not be empty");
  const { length } = [...content];
  if (length > LONGEST) throw invalid(`content: must have at most ${LONGEST} characters, not ${length}`);
  if (content.includes("\0")) throw invalid("content: must not contain U+0000");
}

/** @param {unknown} metadata */
function checkMetadata(metadata) {
  if (metadata === null) return;
  if (typeof metadata !== "object" || Array.isArray(metadata)) throw invalid("metadata: must be a JSON object");
  const bytes = utf8(JSON.stringify(metadata)).length;
  if (bytes > MOST_METADATA) throw invalid(`metadata: must have at most ${MOST_METADATA} bytes, not ${bytes}`);
}

/**
 * @param {unknown} text
 * @param {number} longest in characters
 */
function within(text, longest) {
  return typeof text === "string" && text !== "" && [...text].length <= longest;
}

/**
 * @param {URLSearchParams} query
 * @param {number} otherwise
 */
function limitOf(query, otherwise) {
  const limit = Number(query.get("limit") ?? otherwise);
  if (!Number.isInteger(limit) || limit < 1 || limit > 100) throw invalid("limit: must be 1 to 100");
  return limit;
}

/** @param {unknown} title */
function checkTitle(title) {
  if (typeof title !== "string" || !title.trim() || [...title].length > 200) throw invalid("title: must have 1 to 200 characters");
}

/**
 * A text as its bytes in UTF-8, each a character.
 *
 * @param {string} text
 */
function utf8(text) {
  return encodeURIComponent(text).replace(/%([0-9A-F]{2})/g, (_, byte) => String.fromCharCode(parseInt(byte, 16)));
}

/** @param {string} text */
function base64(text) {
  return btoa(utf8(text));
}
