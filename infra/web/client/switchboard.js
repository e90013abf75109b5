// The client: one user's conversations, kept complete and up to date over connections that come and go.
//
//     const chat = new Switchboard({ url: "wss://…/v1", api: "https://…", token: () => fetchToken() });
//     chat.addEventListener("message", ({ detail }) => console.log(detail.sender.name, detail.content));
//     await chat.start();
//     const conversation = await chat.open(await chat.find("bob"));
//     await chat.send(conversation.id, "Hello, Bob!");
//
// No message is stored twice: a send without an answer is repeated with the same clientMessageId, on the next
// connection if need be, until the service answers that the message is stored or refused. Edits, deletions and
// reactions are repeated likewise; they are shown at once, and taken back if they are refused.

// @ts-check

import { Connection, SwitchboardError, errorOf } from "./connection.js";
import { Conversation, newer } from "./conversation.js";

export { SwitchboardError };

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** When a connection is replaced: before API Gateway closes it, which it does after two hours. */
const REPLACE_AFTER_MS = 115 * MINUTE;
/** A connection is also replaced this long before its token expires; if a tenth of the token's life is less, by that. */
const BEFORE_EXPIRY_MS = MINUTE;
/** The shortest time until a replacement, however soon the token expires. */
const SHORTEST_MS = 15 * SECOND;
/** The interval of pings. They renew the lease, and keep the connection from being closed as idle. */
const PING_EVERY_MS = 4 * MINUTE;
/** The first pause before a new attempt to connect, which doubles with each failure, and the longest. */
const FIRST_DELAY_MS = 500;
const LAST_DELAY_MS = 30 * SECOND;
/** The interval of typing frames while the user types. Other clients show the user as typing for 6 seconds after each. */
const TYPING_EVERY_MS = 3 * SECOND;
/** How long a replaced connection stays open for answers that are still to come. */
const OVERLAP_MS = 30 * SECOND;
/** After a connection has lasted this long, pauses between attempts start from the first one again. */
const GOOD_AFTER_MS = 30 * SECOND;
/** How long a doubtful connection may take to answer a ping. */
const CHECK_MS = 5 * SECOND;
/** The longest pause between attempts, whatever the clock says. */
const LONGEST_PAUSE_MS = 60 * MINUTE;
/** A message over which this many connections were closed has failed. */
const BLAMED_AT_MOST = 2;
/** If more conversations than this have changed unheard, the list is fetched instead of each of them. */
const FETCHED_ALONE = 5;
/** The time limit of a request to the HTTP API. */
const REQUEST_TIMEOUT_MS = 15 * SECOND;

/**
 * @typedef {import("./conversation.js").Message} Message
 * @typedef {import("./conversation.js").User} User
 * @typedef {import("./connection.js").Frame} Frame
 * @typedef {User & {online: boolean, lastSeenAt: string | null}} OtherUser
 * @typedef {"owner" | "member"} Role
 * @typedef {{id: string, kind: "direct" | "group", title: string | null, avatarUrl: string | null, role: Role,
 *   participantCount: number, otherUser: OtherUser | null, lastMessage: Message | null, lastMessageAt: string | null,
 *   firstSeq: number, lastSeq: number, lastChange: number, unreadCount: number}} Summary a conversation; `otherUser` is null
 *   in a group, `title` and `avatarUrl` in a conversation of two
 * @typedef {{user: User, role: Role, joinedAt: string, readUpToSeq: number, online: boolean, lastSeenAt: string | null}} Participant
 * @typedef {{conversationId: string, added: string[], removed: string[], roles: {userId: string, role: Role}[],
 *   participantCount: number, lastChange: number}} RosterChange
 * @typedef {"offline" | "connecting" | "online"} State
 * @typedef {{clientMessageId: string, conversationId: string, content: string, replyTo?: string, metadata?: object,
 *   state: "pending" | "failed", error?: SwitchboardError}} Outgoing
 * @typedef {{message: Message, action: string, fields: any, overlay: import("./conversation.js").Overlay, at?: Message,
 *   blamed: number, resolve: (message: Message) => void, reject: (error: SwitchboardError) => void}} Asked a change of a stored
 *   message that was asked for: the message as the user saw it, the frame, what is shown until it is answered, and for an edit
 *   the message as it was at the last try
 * @typedef {{heard: Map<string, number>, versions: Map<string, number>}} Before what had been heard before a request
 * @typedef {{online: boolean, lastSeenAt: string | null, version: number}} Presence
 * @typedef {object} Options
 * @property {string} url where the WebSocket API is, as `wss://host/stage`
 * @property {string} api where the HTTP API is, as `https://host`
 * @property {() => string | Promise<string>} token gets a token that is valid now; asked again before one expires
 * @property {typeof WebSocket} [WebSocket] another implementation than the global one
 * @property {typeof fetch} [fetch] likewise
 * @property {() => number} [random] likewise, from 0 to 1
 */

/**
 * Events, each with a `detail`:
 *
 * - `state`: the {@link State} of the connection
 * - `conversations`: the list has changed, or something in it
 * - `message`: a {@link Message} that is new in an open conversation; in order, each once
 * - `messages`: the id of an open conversation in which anything has changed
 * - `outgoing`: an {@link Outgoing} message, whenever its state changes
 * - `participants`: a {@link RosterChange} of one of the user's groups, also when it adds or removes the user
 * - `gone`: the id of a conversation in which the user does not take part any more
 * - `presence`: `{userId, online, lastSeenAt}`
 * - `typing`: `{conversationId, userId, typing}`
 * - `problem`: a {@link SwitchboardError} that nobody waits for
 */
export class Switchboard extends EventTarget {
  /** The id of this user; known once started. @type {string} */
  userId = "";
  /** @type {State} */
  state = "offline";
  /** The messages that are not stored yet, in the order in which they were sent. @type {Map<string, Outgoing>} */
  outgoing = new Map();

  #url;
  #api;
  #token;
  #WebSocket;
  #fetch;
  #random;
  #running = false;
  /** @type {Connection | undefined} */
  #connection;
  /** @type {Promise<void> | undefined} */
  #connecting;
  #attempts = 0;
  /** @type {{token: string, renewAt: number} | undefined} */
  #known;
  /** Replaced connections that only wait for their last answers. @type {Set<Connection>} */
  #retired = new Set();
  /** The last join or leave of each conversation: the next one waits for it. @type {Map<string, Promise<unknown>>} */
  #membership = new Map();
  /** The `seq` up to which this user has read, by conversation. @type {Map<string, number>} */
  #readUpTo = new Map();
  /** The number of events about each conversation, which shows that a listed page is older than an event. @type {Map<string, number>} */
  #heard = new Map();
  /** @type {Map<string, Summary>} */
  #summaries = new Map();
  /** The highest `lastChange` that was heard of each conversation, also of those that are not listed. @type {Map<string, number>} */
  #latestChanges = new Map();
  /** The conversations that are being fetched. @type {Map<string, Promise<void>>} */
  #fetching = new Map();
  /** Where the service lists conversations without a message that this user sees, in milliseconds since 1970. @type {Map<string, number>} */
  #places = new Map();
  /** The numbers of requests for the first page: all, and the latest that was answered. */
  #listing = { asked: 0, answered: 0 };
  #cursor = /** @type {string | null} */ (null);
  /** @type {Map<string, Conversation>} */
  #open = new Map();
  /** @type {Map<string, Presence>} */
  #presence = new Map();
  /** @type {Map<string, any>} */
  #typists = new Map();
  /** @type {Map<string, number>} */
  #typedAt = new Map();
  /** The conversations with a send that waits for its answer. @type {Set<string>} */
  #delivering = new Set();
  /** The changes of stored messages that are not answered yet, by message, in the order in which they were asked for. @type {Map<string, Asked[]>} */
  #asked = new Map();
  /** @type {Map<string, {resolve: (message: Message) => void, reject: (error: SwitchboardError) => void}>} */
  #promised = new Map();
  /** How often a connection was closed with a code that blames a frame, while this message waited for its answer. @type {Map<string, number>} */
  #blamed = new Map();
  #suspecting = false;
  /** The connection that was pinged because it may be dead. @type {Connection | undefined} */
  #checked;
  /** When the next attempt to connect may be made, in milliseconds since 1970. */
  #notBefore = 0;
  /** How many times in a row the service closed this client's connection as the user's oldest. */
  #timesReplaced = 0;
  /** Whether the next connection is being opened beside the present one. */
  #replacing = false;
  #timers = { ping: /** @type {any} */ (0), replace: /** @type {any} */ (0), good: /** @type {any} */ (0) };

  /** @param {Options} options */
  constructor(options) {
    super();
    this.#url = options.url;
    this.#api = options.api.replace(/\/$/, "");
    this.#token = options.token;
    this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
    this.#fetch = options.fetch ?? ((...request) => globalThis.fetch(...request));
    this.#random = options.random ?? Math.random;
  }

  // The connection.

  /** Connects, and stays connected until `stop`. Resolves once connected for the first time. */
  async start() {
    this.#running = true;
    for (const [target, event] of occasions()) target.addEventListener(event, this.#look);
    await this.#connect();
  }

  /** Disconnects. Messages that are not stored yet are kept for the next start. */
  stop() {
    this.#running = false;
    for (const [target, event] of occasions()) target.removeEventListener(event, this.#look);
    this.#wake();
    for (const timer of [...Object.values(this.#timers), ...this.#typists.values()]) clearTimeout(timer);
    this.#typists.clear();
    const connections = [this.#connection, ...this.#retired];
    this.#connection = undefined;
    this.#retired.clear();
    for (const connection of connections) connection?.close();
    this.#become("offline");
  }

  /** Checks now that the connection is alive, and opens one if there is none. */
  retry() {
    if (!this.#running) return;
    this.#attempts = 0;
    this.#notBefore = 0;
    this.#timesReplaced = 0;
    const connection = this.#connection;
    if (!connection) {
      this.#wake();
      void this.#connect();
    } else if (connection !== this.#checked) {
      this.#checked = connection;
      const done = () => (this.#checked = undefined);
      // Without an answer the connection ends by itself.
      void connection.ask("ping", {}, CHECK_MS).then((pong) => this.#compare(pong.conversations)).catch(() => {}).finally(done);
    }
  }

  /** Checks the connection when the network changes or the page is shown again: a machine that slept has a dead socket. */
  #look = () => {
    if (globalThis.document?.visibilityState !== "hidden") this.retry();
  };

  #connect() {
    this.#connecting ??= this.#tryUntilConnected().finally(() => (this.#connecting = undefined));
    return this.#connecting;
  }

  async #tryUntilConnected() {
    while (this.#running) {
      // The planned replacement may have been quicker.
      if (this.#connection) return;
      this.#become("connecting");
      try {
        await this.#replace();
        return;
      } catch (error) {
        if (!this.#running) return;
        this.#become("offline");
        this.#complain(error);
        await this.#pause();
      }
    }
  }

  /** Pauses: longer after each failure, and randomised, so that not all clients that lost their connections return at once. */
  #pause() {
    const backoff = Math.min(FIRST_DELAY_MS * 2 ** this.#attempts++, LAST_DELAY_MS) * (0.5 + this.#random() / 2);
    const delay = Math.min(Math.max(backoff, this.#notBefore - Date.now()), LONGEST_PAUSE_MS);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.#wake = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }

  /** Ends a pause. */
  #wake = () => {};

  /** Opens the next connection, and closes the one before it once its last answers have come. */
  async #replace() {
    this.#replacing = true;
    try {
      await this.#openNext();
    } finally {
      this.#replacing = false;
    }
  }

  async #openNext() {
    const token = await this.#freshToken();
    const listener = {
      event: (/** @type {Frame} */ frame) => this.#hear(frame, next),
      closed: () => this.#lost(next),
      problem: (/** @type {SwitchboardError} */ error) => this.#complain(error),
    };
    /** @type {Connection} */
    const next = await Connection.open(
      `${this.#url}?token=${encodeURIComponent(token)}`,
      this.#WebSocket,
      listener,
    ).catch((error) => {
      // The token may be the reason.
      this.#known = undefined;
      throw error;
    });
    if (!this.#running) return next.close();
    const before = this.#connection;
    this.#connection = next;
    if (before) this.#retire(before);
    // The list is newer than all events before it. A service with a new database counts versions from 1 again.
    else this.#presence.clear();
    this.#schedule();
    try {
      await this.#synchronise(next);
      if (this.#connection !== next) throw new SwitchboardError("disconnected", "the connection was lost", { retryable: true });
    } catch (error) {
      // A connection on which this fails is of no use.
      if (this.#connection === next) this.#connection = undefined;
      next.close();
      throw error;
    }
    this.#notBefore = 0;
    this.#become("online");
    void this.#sendAll();
  }

  /** @param {Connection} connection */
  #retire(connection) {
    if (!connection.busy) return connection.close();
    this.#retired.add(connection);
    setTimeout(() => {
      if (this.#retired.delete(connection)) connection.close();
    }, OVERLAP_MS);
  }

  #schedule() {
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    const ping = () => {
      this.#timers.ping = setTimeout(ping, PING_EVERY_MS);
      // An error shows that the connection is alive; without an answer it ends by itself.
      void this.#connection?.ask("ping").then((pong) => this.#compare(pong.conversations)).catch(() => {});
    };
    this.#timers.ping = setTimeout(ping, PING_EVERY_MS);
    this.#timers.good = setTimeout(() => (this.#attempts = this.#timesReplaced = 0), GOOD_AFTER_MS);
    const untilRenewal = (this.#known?.renewAt ?? Infinity) - Date.now();
    this.#replaceIn(Math.max(SHORTEST_MS, Math.min(REPLACE_AFTER_MS, untilRenewal)));
  }

  /** @param {number} delay */
  #replaceIn(delay) {
    const replace = () =>
      this.#replace().catch((error) => {
        this.#complain(error);
        if (!this.#connection) void this.#connect();
        else this.#replaceIn(LAST_DELAY_MS * (0.5 + this.#random() / 2));
      });
    this.#timers.replace = setTimeout(replace, delay);
  }

  /** @param {Connection} connection */
  #lost(connection) {
    this.#retired.delete(connection);
    if (connection !== this.#connection) return;
    this.#connection = undefined;
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    if (!this.#running) return;
    this.#become("offline");
    // An attempt to connect that is under way notices the loss by itself, and tries again.
    this.#connecting ??= this.#pause()
      .then(() => this.#tryUntilConnected())
      .finally(() => (this.#connecting = undefined));
  }

  async #freshToken() {
    if (!this.#known || this.#known.renewAt <= Date.now()) {
      const token = await this.#token();
      const claims = JSON.parse(decodeBase64Url(token.split(".")[1] ?? ""));
      this.userId = claims.sub;
      // Counted from the token's own `iat`, if it has one: this clock may be wrong.
      const life = claims.iat === undefined ? claims.exp * SECOND - Date.now() : (claims.exp - claims.iat) * SECOND;
      this.#known = { token, renewAt: Date.now() + life - Math.min(BEFORE_EXPIRY_MS, life / 10) };
    }
    return this.#known.token;
  }

  /**
   * Fetches everything that earlier connections may have missed.
   *
   * @param {Connection} connection
   */
  async #synchronise(connection) {
    const joining = [...this.#open.values()].map((conversation) => this.#join(connection, conversation));
    await Promise.all([this.#refresh(), ...joining]);
  }

  /**
   * Joins a conversation and fetches its missing messages. A conversation that the service refuses is closed.
   *
   * @param {Connection} connection
   * @param {Conversation} conversation
   */
  async #join(connection, conversation) {
    const { id } = conversation;
    try {
      const { lastSeq, lastChange } = await this.#inTurn(id, () => connection.ask("join_conversation", { conversationId: id }));
      integers({ lastSeq, lastChange });
      // After the join, so that no message and no change falls between those fetched and those pushed.
      if (!conversation.loaded) await conversation.load();
      await Promise.all([conversation.catchUp(lastSeq), conversation.catchUpChanges(lastChange)]);
      this.#emit("messages", id);
    } catch (caught) {
      const error = /** @type {SwitchboardError} */ (caught);
      if (!REFUSALS.has(error.code)) throw error;
      this.#forget(id);
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
    this.#membership.set(conversationId, done.catch(() => {}));
    return done;
  }

  /**
   * Compares the service's `lastSeq` and `lastChange` of each conversation with what is here, and fetches what a lost push has
   * left out.
   *
   * @param {{conversationId: string, lastSeq: number, lastChange: number}[]} heads
   */
  #compare(heads) {
    for (const { conversationId, lastSeq, lastChange } of heads) integers({ lastSeq, lastChange }), strings({ conversationId });
    for (const { conversationId, lastSeq, lastChange } of heads) {
      const open = this.#open.get(conversationId);
      open?.catchUp(lastSeq).catch(() => {});
      open?.catchUpChanges(lastChange).catch(() => {});
    }
    // If there are more pages, a conversation that is not listed is on one of them.
    const isMissing = this.#cursor === null && heads.some(({ conversationId }) => !this.#summaries.has(conversationId));
    const behind = heads.filter(({ conversationId, lastSeq, lastChange }) => {
      const summary = this.#summaries.get(conversationId);
      return summary && (lastSeq > summary.lastSeq || lastChange > summary.lastChange);
    });
    if (isMissing || behind.length > FETCHED_ALONE) this.#refreshSoon();
    else for (const { conversationId } of behind) this.#fetchSoon(conversationId);
  }

  // Conversations.

  /** The conversations, the one with the latest activity first. */
  get conversations() {
    return [...this.#summaries.values()].sort((a, b) => this.#activityOf(b) - this.#activityOf(a));
  }

  /** The number of unread messages in all conversations. */
  get unreadCount() {
    return [...this.#summaries.values()].reduce((sum, { unreadCount }) => sum + unreadCount, 0);
  }

  /** Whether there are older conversations than those listed. */
  get hasMoreConversations() {
    return this.#cursor !== null;
  }

  /** Fetches the next page of conversations. */
  async loadMoreConversations() {
    if (this.#cursor) await this.#list(this.#cursor);
  }

  /**
   * Finds or creates the conversation with a user, and returns its id.
   *
   * @param {string} otherUserId
   * @returns {Promise<string>}
   */
  async find(otherUserId) {
    const body = JSON.stringify({ otherUserId });
    const { conversationId } = await this.#request("/api/conversations/find-or-create", { method: "POST", body });
    await this.#listed(conversationId);
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
    const body = JSON.stringify({ ...group, clientConversationId: newId() });
    const create = () => this.#request("/api/conversations", { method: "POST", body });
    const { id } = await create().catch((error) => {
      if (!error.retryable) throw error;
      return create();
    });
    await this.#listed(id).catch(() => {});
    return id;
  }

  /**
   * Changes the title or the avatar of a group. Only owners may.
   *
   * @param {string} conversationId
   * @param {{title?: string, avatarUrl?: string | null}} change
   */
  async changeGroup(conversationId, change) {
    const before = this.#before();
    this.#heardOf(await this.#request(at(conversationId), { method: "PATCH", body: JSON.stringify(change) }), before);
  }

  /**
   * A page of the participants of a conversation, by their ids.
   *
   * @param {string} conversationId
   * @param {{cursor?: string | null, limit?: number}} [page]
   * @returns {Promise<{participants: Participant[], nextCursor: string | null}>}
   */
  async participants(conversationId, { cursor, limit = 100 } = {}) {
    const query = new URLSearchParams({ limit: String(limit), ...(cursor ? { cursor } : {}) });
    return this.#request(`${at(conversationId)}/participants?${query}`);
  }

  /**
   * Adds users to a group. They see what is said from then on. Only owners may.
   *
   * @param {string} conversationId
   * @param {string[]} userIds
   */
  async addParticipants(conversationId, userIds) {
    await this.#request(`${at(conversationId)}/participants`, { method: "POST", body: JSON.stringify({ userIds }) });
  }

  /**
   * Makes a participant of a group an owner or a member. Only owners may.
   *
   * @param {string} conversationId
   * @param {string} userId
   * @param {Role} role
   */
  async setRole(conversationId, userId, role) {
    await this.#request(`${at(conversationId)}/participants`, { method: "PATCH", body: JSON.stringify({ userId, role }) });
  }

  /**
   * Removes a participant from a group, which owners may, or leaves it.
   *
   * @param {string} conversationId
   * @param {string} [userId] by default this user
   */
  async removeParticipant(conversationId, userId = this.userId) {
    await this.#request(`${at(conversationId)}/participants?${new URLSearchParams({ userId })}`, { method: "DELETE" });
    if (userId === this.userId) this.#forget(canonical(conversationId));
  }

  /**
   * Joins a conversation, fetches its latest messages, and keeps it complete until `close`. While offline, this is done by
   * the next connection. Nothing is marked as read by it: see `markRead`.
   *
   * @param {string} conversationId
   * @returns {Promise<Conversation>}
   */
  async open(conversationId) {
    conversationId = canonical(conversationId);
    let conversation = this.#open.get(conversationId);
    if (conversation) return conversation;
    conversation = new Conversation(
      conversationId,
      {
        page: async (query) => {
          const page = await this.#request(`${at(conversationId)}/messages?${query}${query && "&"}markRead=false`);
          if (!Array.isArray(page.messages)) throw malformed("messages");
          integers({ firstSeq: page.firstSeq, lastChange: page.lastChange });
          page.messages.forEach(check);
          return page;
        },
        changes: async (after) => {
          const before = this.#before();
          const changes = await this.#request(`${at(conversationId)}/changes?after=${after}&limit=100`);
          if (!Array.isArray(changes.messages)) throw malformed("messages");
          integers({ lastChange: changes.lastChange });
          changes.messages.forEach(check);
          if (changes.conversation) this.#heardOf(changes.conversation, before);
          return changes;
        },
      },
      (messages) => {
        for (const message of messages) this.#emit("message", message);
        this.#emit("messages", conversationId);
      },
      () => this.#emit("messages", conversationId),
    );
    for (const { message, overlay } of [...this.#asked.values()].flat()) {
      if (message.conversationId === conversationId) conversation.ask(message.id, overlay);
    }
    this.#open.set(conversationId, conversation);
    if (!this.#connection) return conversation;
    await this.#join(this.#connection, conversation).catch(() => {
      // If the connection is lost, the next one joins the conversation; if it is not, a new one is better.
      this.#connection?.close();
    });
    if (!this.#open.has(conversationId)) throw new SwitchboardError("forbidden", "no conversation of yours has this id");
    await this.#listed(conversationId).catch(() => {});
    return conversation;
  }

  /**
   * Leaves a conversation.
   *
   * @param {string} conversationId
   */
  async close(conversationId) {
    conversationId = canonical(conversationId);
    this.#open.delete(conversationId);
    const leave = async () => {
      // It may have been opened again meanwhile.
      if (!this.#open.has(conversationId)) await this.#connection?.ask("leave_conversation", { conversationId });
    };
    await this.#inTurn(conversationId, leave);
  }

  /**
   * Fetches older messages of an open conversation.
   *
   * @param {string} conversationId
   * @param {number} [limit] how many, 100 at most
   */
  async loadOlder(conversationId, limit) {
    conversationId = canonical(conversationId);
    await this.#open.get(conversationId)?.loadOlder(limit);
    this.#emit("messages", conversationId);
  }

  /**
   * Fetches a message that another one answers, so that `find` of the open conversation has it.
   *
   * @param {string} conversationId
   * @param {string} messageId
   */
  async quote(conversationId, messageId) {
    conversationId = canonical(conversationId);
    await this.#open.get(conversationId)?.quote(messageId);
    this.#emit("messages", conversationId);
  }

  /**
   * Marks all messages of a conversation as read, if any are not.
   *
   * @param {string} conversationId
   */
  async markRead(conversationId) {
    conversationId = canonical(conversationId);
    const summary = this.#summaries.get(conversationId);
    if (!summary || summary.unreadCount === 0 || !this.#connection) return;
    this.#read(await this.#connection.ask("mark_read", { conversationId, upToSeq: summary.lastSeq }));
  }

  // Sending.

  /**
   * Sends a message, and repeats that until it is stored or refused. Resolves once it is stored.
   *
   * @param {string} conversationId
   * @param {string} content
   * @param {{replyTo?: string, metadata?: object}} [more] the id of the message that it answers, and data of the application
   * @returns {Promise<Message>}
   */
  send(conversationId, content, { replyTo, metadata } = {}) {
    if (typeof conversationId !== "string" || typeof content !== "string") {
      return Promise.reject(new SwitchboardError("invalid_request", "conversationId, content: must be strings"));
    }
    conversationId = canonical(conversationId);
    const clientMessageId = newId();
    /** @type {Outgoing} */
    const outgoing = { clientMessageId, conversationId, content, ...given({ replyTo, metadata }), state: "pending" };
    this.outgoing.set(clientMessageId, outgoing);
    this.#typedAt.delete(conversationId);
    this.#emit("outgoing", outgoing);
    const sent = new Promise((resolve, reject) => this.#promised.set(clientMessageId, { resolve, reject }));
    const refusal = Connection.refusal("send_message", fieldsOf(outgoing));
    if (refusal) this.#giveUp(outgoing, refusal);
    else void this.#deliver(conversationId);
    return /** @type {Promise<Message>} */ (sent);
  }

  /**
   * Sends a failed message again.
   *
   * @param {string} clientMessageId
   */
  resend(clientMessageId) {
    const outgoing = this.outgoing.get(clientMessageId);
    if (!outgoing || outgoing.state !== "failed") return;
    const again = { ...outgoing, state: /** @type {const} */ ("pending"), error: undefined };
    this.outgoing.set(clientMessageId, again);
    this.#emit("outgoing", again);
    void this.#deliver(outgoing.conversationId);
  }

  /**
   * Discards a failed message.
   *
   * @param {string} clientMessageId
   */
  discard(clientMessageId) {
    const outgoing = this.outgoing.get(clientMessageId);
    if (outgoing?.state === "failed" && this.outgoing.delete(clientMessageId)) this.#emit("outgoing", outgoing);
  }

  /**
   * Answers a message.
   *
   * @param {Message} message
   * @param {string} content
   * @param {{metadata?: object}} [more]
   */
  reply(message, content, more = {}) {
    return this.send(message.conversationId, content, { ...more, replyTo: message.id });
  }

  /**
   * Gives a message of this user another content, and other metadata if that is given; null removes it. If another device
   * edits or deletes the message meanwhile, this is given up with the code `conflict`.
   *
   * @param {Message} message
   * @param {string} content
   * @param {{metadata?: object | null}} [more]
   * @returns {Promise<Message>} the message as it is stored then
   */
  edit(message, content, more = {}) {
    const changed = { ...given(more), content };
    const fields = { messageId: message.id, ...changed };
    // What the user has seen is what they have asked for before.
    const own = this.#asked.get(message.id)?.findLast(({ action }) => action === "edit_message");
    const seen = own ? { ...message, content: own.fields.content } : message;
    return this.#askFor(seen, "edit_message", fields, (shown) => ({ ...shown, ...changed, editedAt: new Date().toISOString() }));
  }

  /**
   * Deletes a message: its sender may, and owners of its group.
   *
   * @param {Message} message
   * @returns {Promise<Message>}
   */
  delete(message) {
    const empty = { content: "", metadata: null, reactions: [], deletedAt: new Date().toISOString() };
    return this.#askFor(message, "delete_message", { messageId: message.id }, (shown) => ({ ...shown, ...empty }));
  }

  /**
   * Reacts to a message.
   *
   * @param {Message} message
   * @param {string} reaction for example an emoji
   * @returns {Promise<Message>}
   */
  react(message, reaction) {
    const overlay = (/** @type {Message} */ shown) => ({ ...shown, reactions: withReaction(shown.reactions, reaction, this.userId) });
    return this.#askFor(message, "add_reaction", { messageId: message.id, reaction }, overlay);
  }

  /**
   * Takes a reaction back.
   *
   * @param {Message} message
   * @param {string} reaction
   * @returns {Promise<Message>}
   */
  unreact(message, reaction) {
    const overlay = (/** @type {Message} */ shown) => ({ ...shown, reactions: withoutReaction(shown.reactions, reaction, this.userId) });
    return this.#askFor(message, "remove_reaction", { messageId: message.id, reaction }, overlay);
  }

  /** The number of messages and changes that are not stored yet. */
  get unsentCount() {
    return this.outgoing.size + [...this.#asked.values()].flat().length;
  }

  /**
   * Shows a change of a message, and asks for it until it is answered.
   *
   * @param {Message} message
   * @param {string} action
   * @param {object} fields
   * @param {import("./conversation.js").Overlay} overlay
   * @returns {Promise<Message>}
   */
  #askFor(message, action, fields, overlay) {
    const refusal = Connection.refusal(action, { ...fields, ifChange: Number.MAX_SAFE_INTEGER });
    if (refusal) return Promise.reject(refusal);
    const { id, conversationId } = message;
    this.#open.get(conversationId)?.ask(id, overlay);
    this.#emit("messages", conversationId);
    return new Promise((resolve, reject) => {
      const queue = this.#asked.get(id) ?? [];
      queue.push({ message, action, fields, overlay, blamed: 0, resolve, reject });
      this.#asked.set(id, queue);
      void this.#deliverChanges(id);
    });
  }

  /**
   * Asks for the changes of a message one after the other, which keeps their order.
   *
   * @param {string} messageId
   */
  async #deliverChanges(messageId) {
    if (this.#delivering.has(messageId) || this.#blamed.size > 0) return;
    this.#delivering.add(messageId);
    try {
      const queue = this.#asked.get(messageId) ?? [];
      // While offline, the next connection continues.
      while (this.state === "online" && this.#connection && queue.length > 0) {
        const [first] = queue;
        // It may have been given up meanwhile.
        if ((await this.#tryChange(first)) && queue[0] === first) queue.shift();
      }
      if (queue.length === 0) this.#asked.delete(messageId);
    } finally {
      this.#delivering.delete(messageId);
    }
  }

  /**
   * Asks for a change. Returns whether it is settled.
   *
   * @param {Asked} asked
   */
  async #tryChange(asked) {
    const connection = this.#connection;
    if (!connection) return false;
    const { message, action, fields, overlay } = asked;
    const open = this.#open.get(message.conversationId);
    const settle = () => {
      this.#open.get(message.conversationId)?.settle(message.id, overlay);
      this.#emit("messages", message.conversationId);
    };
    const done = (/** @type {Message} */ stored) => {
      settle();
      asked.resolve(stored);
      return true;
    };
    try {
      if (action !== "edit_message") {
        const answer = await connection.ask(action, fields);
        this.#messageChanged(answer);
        return done(answer.message);
      }
      const latest = open?.stored(message.id) ?? asked.at ?? message;
      // A try whose answer was lost may have been carried out.
      if (isEdited(asked, latest)) return done(latest);
      refuseConflict(asked, latest);
      asked.at = latest;
      const answer = await connection.ask(action, { ...fields, ifChange: latest.change });
      this.#messageChanged(answer);
      const stored = answer.message;
      // It was like that already, or is now.
      if (stored.change === latest.change || isEdited(asked, stored)) return done(stored);
      refuseConflict(asked, stored);
      // Others have only reacted to it: the next try knows of that.
      asked.at = stored;
      return false;
    } catch (caught) {
      const error = /** @type {SwitchboardError} */ (caught);
      if (connection.wasBlamed) asked.blamed++;
      if ((error.retryable || error.code === "token_expired") && asked.blamed < BLAMED_AT_MOST) {
        if (this.state === "online" && this.#connection) await pause(error.retryAfterMs ?? FIRST_DELAY_MS * (1 + this.#random()));
        return false;
      }
      settle();
      asked.reject(error);
      return true;
    }
  }

  async #sendAll() {
    await this.#sendSuspects();
    // Those over which a connection may have been closed, one at a time; then all others.
    const queues = [...this.#asked];
    for (const [messageId, [first]] of queues) if (first?.blamed) await this.#deliverChanges(messageId);
    for (const [messageId] of queues) void this.#deliverChanges(messageId);
    for (const id of new Set([...this.outgoing.values()].map(({ conversationId }) => conversationId))) void this.#deliver(id);
  }

  /**
   * Sends the messages that waited for an answer when a connection was closed over one of them, one at a time: if a
   * connection is closed again, its message is the reason.
   */
  async #sendSuspects() {
    if (this.#suspecting) return;
    this.#suspecting = true;
    try {
      for (const clientMessageId of [...this.#blamed.keys()]) {
        while (this.#blamed.has(clientMessageId)) {
          const suspect = this.outgoing.get(clientMessageId);
          if (suspect?.state !== "pending") this.#blamed.delete(clientMessageId);
          else if (this.state !== "online" || !this.#connection) return;
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
    if (this.#delivering.has(conversationId) || this.#blamed.size > 0) return;
    this.#delivering.add(conversationId);
    try {
      // While offline, the next connection continues.
      for (let outgoing; this.state === "online" && this.#connection && (outgoing = this.#nextTo(conversationId)); ) await this.#try(outgoing);
    } finally {
      this.#delivering.delete(conversationId);
    }
  }

  /** @param {string} conversationId */
  #nextTo(conversationId) {
    return [...this.outgoing.values()].find((one) => one.conversationId === conversationId && one.state === "pending");
  }

  /** @param {Outgoing} outgoing */
  async #try(outgoing) {
    const { clientMessageId } = outgoing;
    const connection = this.#connection;
    if (!connection) return;
    try {
      this.#stored(await connection.ask("send_message", fieldsOf(outgoing)));
      this.#blamed.delete(clientMessageId);
    } catch (caught) {
      const error = /** @type {SwitchboardError} */ (caught);
      // The message may have been pushed meanwhile, after another try.
      if (!this.outgoing.has(clientMessageId)) return void this.#blamed.delete(clientMessageId);
      if (connection.wasBlamed) {
        const times = (this.#blamed.get(clientMessageId) ?? 0) + 1;
        this.#blamed.set(clientMessageId, times);
        if (times < BLAMED_AT_MOST) {
          // If this connection had been replaced, the message can be sent on its successor at once.
          if (this.state === "online") void this.#sendAll();
          return;
        }
        const reason = `the connection was closed over this message ${times} times`;
        return this.#giveUp(outgoing, new SwitchboardError("invalid_request", reason));
      }
      if (error.retryable || error.code === "token_expired") {
        if (this.state !== "online" || !this.#connection) return;
        await pause(error.retryAfterMs ?? FIRST_DELAY_MS * (1 + this.#random()));
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
    const failed = { ...outgoing, state: /** @type {const} */ ("failed"), error };
    this.#blamed.delete(clientMessageId);
    this.outgoing.set(clientMessageId, failed);
    this.#emit("outgoing", failed);
    this.#promised.get(clientMessageId)?.reject(error);
    this.#promised.delete(clientMessageId);
  }

  /** @param {Message} message */
  #stored(message) {
    check(message);
    const clientMessageId = message.clientMessageId ?? "";
    const outgoing = this.outgoing.get(clientMessageId);
    this.#take(message);
    if (!outgoing || message.senderId !== this.userId || !this.outgoing.delete(clientMessageId)) return;
    this.#promised.get(clientMessageId)?.resolve(message);
    this.#promised.delete(clientMessageId);
    this.#emit("outgoing", outgoing);
  }

  /**
   * Tells the others that the user is typing; call it on every key.
   *
   * @param {string} conversationId
   */
  typing(conversationId) {
    conversationId = canonical(conversationId);
    const last = this.#typedAt.get(conversationId) ?? 0;
    if (!this.#connection || Date.now() - last < TYPING_EVERY_MS) return;
    this.#typedAt.set(conversationId, Date.now());
    this.#connection.tell("typing_start", { conversationId });
  }

  /**
   * Tells the others that the user has stopped typing.
   *
   * @param {string} conversationId
   */
  stopTyping(conversationId) {
    conversationId = canonical(conversationId);
    if (this.#typedAt.delete(conversationId)) this.#connection?.tell("typing_stop", { conversationId });
  }

  // Events.

  /**
   * @param {Frame} frame
   * @param {Connection} connection the connection that it came on
   */
  #hear(frame, connection) {
    const data = frame.data;
    switch (frame.type) {
      case "new_message":
        // It may be this user's own, from another device or as the answer to an earlier try.
        return this.#stored(data);
      case "message_changed":
        return this.#messageChanged(data);
      case "conversation_updated":
        return this.#update(data);
      case "conversation_changed":
        return this.#changed(data);
      case "participants_changed":
        return this.#rosterChanged(data);
      case "messages_read":
        return this.#read(data);
      case "user_online":
      case "user_offline":
        return this.#presenceOf(data.userId, frame.type === "user_online", data.lastSeenAt ?? null, data.version);
      case "user_typing":
        return this.#typist(data, data.expiresInMs);
      case "user_stopped_typing":
        return this.#typist(data, 0);
      case "error":
        return this.#refused(errorOf(frame), connection);
      default:
        // A frame of the gateway's own does not name the frame that it answers, which will run into its time limit.
        if (frame.message) this.#complain(new SwitchboardError("gateway", frame.message, { retryable: true }));
    }
  }

  /**
   * Handles an error that answers no frame: usually the reason why the service closes the connection.
   *
   * @param {SwitchboardError} error
   * @param {Connection} connection
   */
  #refused(error, connection) {
    if (error.code === "token_expired") this.#known = undefined;
    const isOurs = connection === this.#connection && !this.#replacing;
    // The user has too many connections and this was the oldest. Connecting at once would close the next oldest, so wait,
    // unless this connection is being replaced or was.
    if (error.code === "rate_limited" && isOurs) {
      this.#notBefore = Date.now() + (error.retryAfterMs ?? LAST_DELAY_MS) * 2 ** this.#timesReplaced++;
    }
    this.#complain(error);
  }

  /** @param {Message} message a new message that was pushed or sent */
  #take(message) {
    const { conversationId, senderId, seq } = message;
    this.#typist({ conversationId, userId: senderId }, 0);
    this.#open.get(conversationId)?.add(message);
    const summary = this.#summaries.get(conversationId);
    if (summary && seq <= summary.lastSeq) return this.#renewLatest(summary, message);
    // Not listed here yet, or messages were missed whose senders are not known here.
    if (!summary || seq > summary.lastSeq + 1) return this.#refreshSoon();
    const unreadCount = senderId === this.userId || this.#hasRead(conversationId, seq) ? summary.unreadCount : summary.unreadCount + 1;
    this.#summarise({ ...summary, ...latest(message), unreadCount });
  }

  /** @param {{conversationId: string, lastMessage: Message, lastSeq: number, unreadCount: number}} update */
  #update({ conversationId, lastMessage, lastSeq, unreadCount }) {
    strings({ conversationId });
    integers({ lastSeq, unreadCount });
    check(lastMessage);
    this.#typist({ conversationId, userId: lastMessage.senderId }, 0);
    this.#open.get(conversationId)?.add(lastMessage);
    const summary = this.#summaries.get(conversationId);
    // Not listed here yet: it is new, or on a later page.
    if (!summary) return this.#refreshSoon();
    if (lastMessage.change !== null) this.#heardOfChange(conversationId, lastMessage.change, lastMessage);
    const known = this.#summaries.get(conversationId) ?? summary;
    if (lastSeq <= known.lastSeq) return this.#renewLatest(known, lastMessage);
    this.#summarise({ ...known, ...latest(lastMessage), unreadCount: this.#hasRead(conversationId, lastSeq) ? 0 : unreadCount });
  }

  /** @param {{message: Message, change: number | null}} change */
  #messageChanged({ message, change }) {
    check(message);
    const { conversationId } = message;
    // Null if nothing has ever changed it.
    if (change === null) return;
    integers({ change });
    this.#open.get(conversationId)?.changed(change, message);
    this.#heardOfChange(conversationId, change, message);
    this.#emit("messages", conversationId);
  }

  /**
   * Takes note of the change of a message in the list.
   *
   * @param {string} conversationId
   * @param {number} change
   * @param {Message} message
   */
  #heardOfChange(conversationId, change, message) {
    const summary = this.#summaries.get(conversationId);
    if (!summary) return;
    // A message that is not in the list yet brings the conversation with it.
    const isNext = summary.lastChange === change - 1 && message.seq <= summary.lastSeq;
    if (this.#isNewChange(conversationId, change) && !isNext) this.#fetchSoon(conversationId);
    this.#renewLatest(isNext ? { ...summary, lastChange: change } : summary, message);
  }

  /**
   * Takes the later state of a message, if it is the latest of a conversation.
   *
   * @param {Summary} summary
   * @param {Message} message
   */
  #renewLatest(summary, message) {
    const { lastMessage } = summary;
    this.#summarise(lastMessage?.id === message.id ? { ...summary, lastMessage: newer(lastMessage, message) } : summary);
  }

  /** @param {{conversationId: string, title: string, avatarUrl: string | null, participantCount: number, lastChange: number}} change */
  #changed({ conversationId, title, avatarUrl, participantCount, lastChange }) {
    strings({ conversationId, title });
    integers({ participantCount, lastChange });
    this.#open.get(conversationId)?.changed(lastChange);
    if (!this.#isNewChange(conversationId, lastChange)) return;
    const summary = this.#summaries.get(conversationId);
    if (summary?.lastChange !== lastChange - 1) return this.#fetchSoon(conversationId);
    this.#summarise({ ...summary, title, avatarUrl, participantCount, lastChange });
  }

  /**
   * Whether a change is later than all that were heard of before: frames overtake each other. After a gap in `lastChange` the
   * conversation has to be fetched, since an earlier change told of something else.
   *
   * @param {string} conversationId
   * @param {number} lastChange
   */
  #isNewChange(conversationId, lastChange) {
    const known = Math.max(this.#summaries.get(conversationId)?.lastChange ?? 0, this.#latestChanges.get(conversationId) ?? 0);
    if (lastChange > known) this.#latestChanges.set(conversationId, lastChange);
    return lastChange > known;
  }

  /** @param {RosterChange} change */
  #rosterChanged(change) {
    const { conversationId, added, removed, roles, participantCount, lastChange } = change;
    strings({ conversationId });
    integers({ participantCount, lastChange });
    const open = this.#open.get(conversationId);
    open?.changed(lastChange);
    if (!this.#isNewChange(conversationId, lastChange)) return;
    const summary = this.#summaries.get(conversationId);
    if (removed.includes(this.userId)) this.#forget(conversationId);
    else if (added.includes(this.userId)) {
      this.#fetchSoon(conversationId);
      // The removal before it emptied the room, and was not heard of.
      if (open && this.#connection) void this.#join(this.#connection, open).catch(() => {});
    } else if (summary?.lastChange !== lastChange - 1) this.#fetchSoon(conversationId);
    else {
      const role = roles.find(({ userId }) => userId === this.userId)?.role ?? summary.role;
      this.#summarise({ ...summary, role, participantCount, lastChange });
    }
    this.#emit("participants", change);
  }

  /**
   * Drops a conversation in which this user does not take part any more.
   *
   * @param {string} conversationId
   */
  #forget(conversationId) {
    this.#heard.set(conversationId, (this.#heard.get(conversationId) ?? 0) + 1);
    const known = [this.#open.delete(conversationId), this.#summaries.delete(conversationId)].includes(true);
    const reason = new SwitchboardError("forbidden", "you do not take part in this conversation any more");
    for (const queue of this.#asked.values()) {
      if (queue[0]?.message.conversationId === conversationId) queue.splice(0).forEach(({ reject }) => reject(reason));
    }
    for (const outgoing of [...this.outgoing.values()].filter((one) => one.conversationId === conversationId)) {
      if (outgoing.state === "pending") this.#giveUp(outgoing, reason);
      this.discard(outgoing.clientMessageId);
    }
    if (!known) return;
    this.#emit("conversations", undefined);
    this.#emit("gone", conversationId);
  }

  /** What has been heard until now. @returns {Before} */
  #before() {
    const versions = new Map([...this.#presence].map(([userId, { version }]) => [userId, version]));
    return { heard: new Map(this.#heard), versions };
  }

  /**
   * Takes a conversation that the service answered.
   *
   * @param {Summary} summary
   * @param {Before} before
   */
  #heardOf(summary, before) {
    this.#merge(summary, before);
    this.#emit("conversations", undefined);
  }

  /**
   * Takes a conversation as it was when the service read it: events that have come since the request are newer.
   *
   * @param {Summary} summary
   * @param {Before} before
   */
  #merge(summary, { heard, versions }) {
    const { id } = summary;
    const known = this.#summaries.get(id);
    const isHeard = this.#heard.get(id) !== heard.get(id);
    // It may have been a removal.
    if (isHeard && !known) return;
    const pick = (/** @type {"lastSeq" | "lastChange"} */ number) =>
      known && (known[number] > summary[number] || (known[number] === summary[number] && isHeard)) ? known : summary;
    const latest = pick("lastSeq");
    const { lastMessageAt, lastSeq, unreadCount } = latest;
    const other = latest === known ? summary : known;
    const isSame = latest.lastMessage !== null && other?.lastMessage?.id === latest.lastMessage.id;
    const otherUser = summary.otherUser ?? known?.otherUser ?? null;
    const presence = otherUser ? this.#presence.get(otherUser.id) : undefined;
    const isTold = presence && otherUser && presence.version !== versions.get(otherUser.id);
    this.#summaries.set(id, {
      ...pick("lastChange"),
      // Both may have it, one of them in a later state.
      lastMessage: isSame && other?.lastMessage ? newer(latest.lastMessage, other.lastMessage) : latest.lastMessage,
      lastMessageAt,
      lastSeq,
      unreadCount: this.#hasRead(id, lastSeq) ? 0 : unreadCount,
      otherUser: isTold ? { ...otherUser, online: presence.online, lastSeenAt: presence.lastSeenAt ?? otherUser.lastSeenAt } : otherUser,
    });
  }

  /**
   * Fetches a conversation in the background. Calls at the same time share the work; if more has changed by then, it is fetched
   * again.
   *
   * @param {string} conversationId
   */
  #fetchSoon(conversationId) {
    if (this.#fetching.has(conversationId)) return;
    const fetch = async () => {
      const latest = this.#latestChanges.get(conversationId) ?? 0;
      const before = this.#before();
      this.#heardOf(await this.#request(at(conversationId)), before);
      return (this.#latestChanges.get(conversationId) ?? 0) > latest;
    };
    const fetching = fetch()
      .catch((error) => {
        if (REFUSALS.has(error.code)) this.#forget(conversationId);
        else this.#complain(error);
        return false;
      })
      .then((hasChanged) => {
        this.#fetching.delete(conversationId);
        if (hasChanged && this.#summaries.has(conversationId)) this.#fetchSoon(conversationId);
      });
    this.#fetching.set(conversationId, fetching);
  }

  /**
   * When something last happened in a conversation that this user sees: a message, or being added.
   *
   * @param {Summary} summary
   */
  #activityOf({ id, lastMessageAt }) {
    // The id holds the time of creation (UUIDv7).
    return lastMessageAt ? Date.parse(lastMessageAt) : (this.#places.get(id) ?? parseInt(id.replace("-", "").slice(0, 12), 16));
  }

  /** @param {{conversationId: string, readerId: string, upToSeq: number, readAt: string}} read */
  #read({ conversationId, readerId, upToSeq, readAt }) {
    strings({ conversationId, readerId, readAt });
    integers({ upToSeq });
    const summary = this.#summaries.get(conversationId);
    // In a group no message is read at a time.
    if (summary?.kind !== "group") this.#open.get(conversationId)?.markRead(readerId, upToSeq, readAt);
    this.#emit("messages", conversationId);
    const mine = readerId === this.userId;
    if (mine) this.#readUpTo.set(conversationId, Math.max(upToSeq, this.#readUpTo.get(conversationId) ?? 0));
    if (!summary) return;
    const { lastMessage } = summary;
    const reads = summary.kind !== "group" && lastMessage && lastMessage.senderId !== readerId && lastMessage.seq <= upToSeq && !lastMessage.readAt;
    this.#summarise({
      ...summary,
      lastMessage: reads ? { ...lastMessage, readAt } : lastMessage,
      // No more messages can be unread than there are after it.
      unreadCount: mine ? Math.min(summary.unreadCount, Math.max(0, summary.lastSeq - upToSeq)) : summary.unreadCount,
    });
  }

  /**
   * Whether this user has read up to this `seq`: another device's `messages_read` may overtake the message.
   *
   * @param {string} conversationId
   * @param {number} seq
   */
  #hasRead(conversationId, seq) {
    return (this.#readUpTo.get(conversationId) ?? 0) >= seq;
  }

  /**
   * @param {string} userId
   * @param {boolean} online
   * @param {string | null} lastSeenAt
   * @param {number} version
   */
  #presenceOf(userId, online, lastSeenAt, version) {
    strings({ userId });
    integers({ version });
    const known = this.#presence.get(userId);
    if (known && known.version >= version) return;
    this.#presence.set(userId, { online, lastSeenAt, version });
    for (const summary of this.#summaries.values()) {
      if (summary.otherUser?.id !== userId) continue;
      const otherUser = { ...summary.otherUser, online, lastSeenAt: lastSeenAt ?? summary.otherUser.lastSeenAt };
      this.#summarise({ ...summary, otherUser });
    }
    this.#emit("presence", { userId, online, lastSeenAt });
  }

  /**
   * @param {{conversationId: string, userId: string}} who
   * @param {number} expiresInMs 0 if they have stopped
   */
  #typist({ conversationId, userId }, expiresInMs) {
    strings({ conversationId, userId });
    integers({ expiresInMs });
    const key = `${conversationId} ${userId}`;
    const was = this.#typists.has(key);
    clearTimeout(this.#typists.get(key));
    this.#typists.delete(key);
    const stop = () => this.#typist({ conversationId, userId }, 0);
    if (expiresInMs > 0) this.#typists.set(key, setTimeout(stop, expiresInMs));
    if (was !== expiresInMs > 0) this.#emit("typing", { conversationId, userId, typing: expiresInMs > 0 });
  }

  // The HTTP API.

  /** Fetches the first page of the list again: events may have been missed. */
  #refresh() {
    return this.#list("");
  }

  /** The same, in the background. */
  #refreshSoon() {
    void this.#refresh().catch((error) => this.#complain(error));
  }

  /**
   * Fetches pages until a conversation is among them.
   *
   * @param {string} conversationId
   */
  async #listed(conversationId) {
    if (!this.#summaries.has(conversationId)) await this.#refresh();
    while (!this.#summaries.has(conversationId) && this.#cursor) await this.#list(this.#cursor);
  }

  /** @param {string} cursor */
  async #list(cursor) {
    const before = this.#before();
    const asked = cursor ? 0 : ++this.#listing.asked;
    const query = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
    const { conversations, nextCursor } = await this.#request(`/api/conversations${query}`);
    // A later request was answered before.
    if (!cursor && asked < this.#listing.answered) return;
    if (!cursor) this.#listing.answered = asked;
    let place = Date.now();
    for (const summary of /** @type {Summary[]} */ (conversations)) {
      const { id, lastMessage, otherUser } = summary;
      // Who was added to a group without a message since is listed by that, which only the order tells.
      if (!lastMessage && summary.firstSeq > 1) this.#places.set(id, place);
      place = this.#activityOf(summary);
      this.#merge(summary, before);
      // A `messages_read` may have been missed.
      if (otherUser && lastMessage?.readAt && lastMessage.senderId === this.userId) {
        this.#open.get(id)?.markRead(otherUser.id, lastMessage.seq, lastMessage.readAt);
      }
    }
    if (!cursor) this.#forgetUnlisted(conversations, nextCursor === null, before.heard);
    if (cursor || this.#summaries.size <= conversations.length) this.#cursor = nextCursor;
    this.#emit("conversations", undefined);
  }

  /**
   * Drops what the first page does not list although it would: a removal was missed.
   *
   * @param {Summary[]} listed
   * @param {boolean} isAll whether there is no other page
   * @param {Map<string, number>} heard the numbers of events before the request
   */
  #forgetUnlisted(listed, isAll, heard) {
    const ids = new Set(listed.map(({ id }) => id));
    const oldest = isAll || listed.length === 0 ? -Infinity : this.#activityOf(listed[listed.length - 1]);
    for (const summary of [...this.#summaries.values()]) {
      const isHeard = this.#heard.get(summary.id) !== heard.get(summary.id);
      if (!ids.has(summary.id) && !isHeard && this.#activityOf(summary) > oldest) this.#forget(summary.id);
    }
  }

  /**
   * @param {string} path
   * @param {RequestInit} [request]
   * @param {boolean} [again] whether a new token has been asked for already
   * @returns {Promise<any>}
   */
  async #request(path, request = {}, again = false) {
    const headers = { authorization: `Bearer ${await this.#freshToken()}`, "content-type": "application/json" };
    const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
    const answer = await this.#fetch(this.#api + path, { ...request, headers, signal }).catch((error) => {
      throw new SwitchboardError("disconnected", String(error), { retryable: true });
    });
    if (answer.status === 204) return undefined;
    /** @type {any} */
    const body = await answer.json().catch(() => undefined);
    const isObject = typeof body === "object" && body !== null;
    if (answer.ok && isObject) return body;
    // A proxy answered, or the response was cut off.
    if (answer.ok) throw new SwitchboardError("gateway", `${path} was answered with something else`, { retryable: true });
    if (answer.status === 401) {
      this.#known = undefined;
      if (!again) return this.#request(path, request, true);
    }
    const code = body?.error?.code ?? "gateway";
    throw new SwitchboardError(code, body?.error?.message ?? body?.message ?? `status ${answer.status}`, {
      retryable: answer.status === 429 || answer.status >= 500,
    });
  }

  // Events to the page.

  /** @param {Summary} summary */
  #summarise(summary) {
    this.#heard.set(summary.id, (this.#heard.get(summary.id) ?? 0) + 1);
    this.#summaries.set(summary.id, summary);
    this.#emit("conversations", undefined);
  }

  /** @param {State} state */
  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.#emit("state", state);
  }

  /** @param {unknown} error */
  #complain(error) {
    this.#emit("problem", error);
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** @param {string} conversationId */
function at(conversationId) {
  return `/api/conversations/${encodeURIComponent(canonical(conversationId))}`;
}

/** @param {Message} message */
function latest(message) {
  return { lastMessage: message, lastMessageAt: message.createdAt, lastSeq: message.seq };
}

/**
 * The fields of the frame that sends a message.
 *
 * @param {Outgoing} outgoing
 */
function fieldsOf({ conversationId, content, clientMessageId, replyTo, metadata }) {
  return { conversationId, content, clientMessageId, ...given({ replyTo, metadata }) };
}

/**
 * The fields that are given.
 *
 * @template {object} T
 * @param {T} fields
 * @returns {Partial<T>}
 */
function given(fields) {
  return /** @type {any} */ (Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)));
}

/**
 * Whether a message has become what an edit asks for since its last try.
 *
 * @param {Asked} asked
 * @param {Message} message
 */
function isEdited({ fields, at }, message) {
  return at !== undefined && message.content === fields.content && message.editedAt !== at.editedAt;
}

/**
 * Throws if a message does not say any more what the user saw when they edited it.
 *
 * @param {Asked} asked
 * @param {Message} message
 */
function refuseConflict(asked, message) {
  if (message.deletedAt) throw new SwitchboardError("conflict", "the message was deleted meanwhile");
  if (message.content !== asked.message.content) throw new SwitchboardError("conflict", "the message was edited meanwhile");
}

/**
 * Reactions after a user has given one.
 *
 * @param {import("./conversation.js").Reaction[]} reactions
 * @param {string} reaction
 * @param {string} userId
 */
function withReaction(reactions, reaction, userId) {
  const known = reactions.find((one) => one.reaction === reaction);
  if (!known) return [...reactions, { reaction, count: 1, userIds: [userId] }];
  if (known.userIds.includes(userId)) return reactions;
  const more = { ...known, count: known.count + 1, userIds: [...known.userIds, userId] };
  return reactions.map((one) => (one === known ? more : one));
}

/**
 * Reactions after a user has taken one back.
 *
 * @param {import("./conversation.js").Reaction[]} reactions
 * @param {string} reaction
 * @param {string} userId
 */
function withoutReaction(reactions, reaction, userId) {
  const without = reactions.map((one) => {
    if (one.reaction !== reaction || !one.userIds.includes(userId)) return one;
    return { ...one, count: one.count - 1, userIds: one.userIds.filter((id) => id !== userId) };
  });
  return without.filter(({ count }) => count > 0);
}

/** @param {number} delay in milliseconds */
function pause(delay) {
  return new Promise((resolve) => setTimeout(resolve, delay));
}

/** @param {string} text */
function decodeBase64Url(text) {
  const bytes = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return new TextDecoder().decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0)));
}

/** The codes of errors that a repeat gets again. */
const REFUSALS = new Set(["invalid_request", "forbidden", "not_found"]);

/** @param {string} field */
function malformed(field) {
  return new SwitchboardError("gateway", `the service sent a malformed ${field}`);
}

/**
 * Throws if a field that every message has is missing: a message without `seq` would leave a gap that is never filled.
 *
 * @param {any} message
 */
function check(message) {
  strings({ id: message?.id, conversationId: message?.conversationId });
  integers({ seq: message?.seq });
  if (!Array.isArray(message.reactions)) throw malformed("reactions");
}

/** @param {Record<string, unknown>} fields */
function strings(fields) {
  for (const [name, value] of Object.entries(fields)) if (typeof value !== "string") throw malformed(name);
}

/** @param {Record<string, unknown>} fields */
function integers(fields) {
  for (const [name, value] of Object.entries(fields)) if (!Number.isInteger(value)) throw malformed(name);
}

/**
 * The id of a conversation as the service writes it.
 *
 * @param {string} id
 */
function canonical(id) {
  const digits = id.toLowerCase().replace(/^urn:uuid:|[{}-]/g, "");
  if (!/^[0-9a-f]{32}$/.test(digits)) return id;
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** A new clientMessageId. Browsers have `crypto.randomUUID` only on encrypted pages and localhost. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The browser's events after which a connection may be dead or a network may be back: each a target and an event name.
 * Empty outside of browsers.
 *
 * @returns {[EventTarget, string][]}
 */
function occasions() {
  if (typeof globalThis.window?.addEventListener !== "function") return [];
  const { window, document } = globalThis;
  return [[document, "visibilitychange"], ...["pageshow", "focus", "online", "offline"].map((event) => /** @type {[EventTarget, string]} */ ([window, event]))];
}
