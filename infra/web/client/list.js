// The list of conversations, kept up to date from events and from what is fetched, whatever order they come in.

// @ts-check

import { at } from "./api.js";
import { integers, strings } from "./checks.js";
import { REFUSALS } from "./errors.js";
import { newer } from "./timeline.js";

/** If more conversations than this have changed unheard, the list is fetched instead of each of them. */
const FETCHED_ALONE = 5;
/** The number of messages of each conversation whose senders are remembered: as many as may come during a request. */
const REMEMBERED = 200;

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").Summary} Summary
 * @typedef {{heard: Map<string, number>, reads: Map<string, number>, versions: Map<string, number>}} Before what had been heard
 *   before a request
 * @typedef {{upToSeq: number, readAt: string, readerId: string}} Read
 * @typedef {object} Work what is done with the list
 * @property {(conversationId?: string) => void} changed takes which conversation has changed; none for any number of them
 * @property {(conversationId: string) => void} gone takes a conversation in which this user does not take part any more
 * @property {(conversationId: string, read: Read) => void} read takes who has read how far, which the list tells
 * @property {(error: any) => void} problem
 */

export class List {
  #api;
  #work;
  /** @type {Map<string, Summary>} */
  #summaries = new Map();
  /** The same in order; undefined until somebody asks. @type {readonly Summary[] | undefined} */
  #sorted;
  /** The number of events about each conversation, which shows that a listed page is older than an event. @type {Map<string, number>} */
  #heard = new Map();
  /** The highest `lastChange` that was heard of each conversation, also of those that are not listed. @type {Map<string, number>} */
  #latestChanges = new Map();
  /** The `seq` up to which this user has read, by conversation. @type {Map<string, number>} */
  #readUpTo = new Map();
  /** How often this user has read, by conversation. @type {Map<string, number>} */
  #reads = new Map();
  /** Who has sent the latest messages, by conversation and `seq`. @type {Map<string, Map<number, string>>} */
  #senders = new Map();
  /** The conversations that are being fetched, and whether they have to be fetched again then. @type {Map<string, boolean>} */
  #fetching = new Map();
  /** Where the service lists conversations without a message that this user sees, in milliseconds since 1970. @type {Map<string, number>} */
  #places = new Map();
  /** The numbers of requests for the first page: all, and the latest that was answered. */
  #listing = { asked: 0, answered: 0 };
  #cursor = /** @type {string | null} */ (null);
  /** @type {Map<string, {online: boolean, lastSeenAt: string | null, version: number}>} */
  #presence = new Map();

  /**
   * @param {import("./api.js").Api} api
   * @param {Work} work
   */
  constructor(api, work) {
    this.#api = api;
    this.#work = work;
  }

  /** The conversations, the one with the latest activity first. */
  get conversations() {
    this.#sorted ??= Object.freeze([...this.#summaries.values()].sort((a, b) => this.#activityOf(b) - this.#activityOf(a)));
    return this.#sorted;
  }

  get unreadCount() {
    return [...this.#summaries.values()].reduce((sum, { unreadCount }) => sum + unreadCount, 0);
  }

  get hasMore() {
    return this.#cursor !== null;
  }

  /** @param {string} conversationId */
  get(conversationId) {
    return this.#summaries.get(conversationId);
  }

  // What is fetched.

  /** Fetches the first page again: events may have been missed. */
  refresh() {
    return this.#fetchPage("");
  }

  async more() {
    if (this.#cursor) await this.#fetchPage(this.#cursor);
  }

  /**
   * Fetches a conversation, unless it is listed.
   *
   * @param {string} conversationId
   */
  async find(conversationId) {
    if (this.#summaries.has(conversationId)) return;
    const before = this.before();
    this.answered(await this.#api.request(at(conversationId)), before);
  }

  /**
   * Compares the service's `lastSeq` and `lastChange` of conversations with what is here, and fetches what a lost push has
   * left out.
   *
   * @param {{conversationId: string, lastSeq: number, lastChange: number}[]} heads
   */
  compare(heads) {
    // If there are more pages, a conversation that is not listed is on one of them.
    const isMissing = this.#cursor === null && heads.some(({ conversationId }) => !this.#summaries.has(conversationId));
    const behind = heads.filter(({ conversationId, lastSeq, lastChange }) => {
      const summary = this.#summaries.get(conversationId);
      return summary && (lastSeq > summary.lastSeq || lastChange > summary.lastChange);
    });
    if (isMissing || behind.length > FETCHED_ALONE) this.#refreshSoon();
    else for (const { conversationId } of behind) this.fetchSoon(conversationId);
  }

  /** What has been heard until now. @returns {Before} */
  before() {
    const versions = new Map([...this.#presence].map(([userId, { version }]) => [userId, version]));
    return { heard: new Map(this.#heard), reads: new Map(this.#reads), versions };
  }

  /**
   * Takes a conversation that the service answered.
   *
   * @param {Summary} summary
   * @param {Before} before
   */
  answered(summary, before) {
    this.#merge(summary, before);
    this.#changed(summary.id);
  }

  /**
   * Fetches a conversation in the background. If that is under way, what is being fetched may be older than the reason for this
   * call, so it is fetched once more.
   *
   * @param {string} conversationId
   */
  fetchSoon(conversationId) {
    if (this.#fetching.has(conversationId)) return void this.#fetching.set(conversationId, true);
    this.#fetching.set(conversationId, false);
    const before = this.before();
    void this.#api
      .request(at(conversationId))
      .then((summary) => this.answered(summary, before))
      .catch((error) => {
        if (REFUSALS.has(error.code)) this.#work.gone(conversationId);
        else this.#work.problem(error);
        return true;
      })
      .then((hasFailed) => {
        const isAgain = this.#fetching.get(conversationId);
        this.#fetching.delete(conversationId);
        // After a failure, the next connection or ping tries again.
        if (isAgain && !hasFailed && this.#summaries.has(conversationId)) this.fetchSoon(conversationId);
      });
  }

  #refreshSoon() {
    void this.refresh().catch(this.#work.problem);
  }

  /** @param {string} cursor */
  async #fetchPage(cursor) {
    const before = this.before();
    const asked = cursor ? 0 : ++this.#listing.asked;
    const query = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
    const { conversations, nextCursor } = await this.#api.request(`/api/conversations${query}`);
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
      if (otherUser && lastMessage?.readAt && lastMessage.senderId === this.#api.userId) {
        this.#work.read(id, { readerId: otherUser.id, upToSeq: lastMessage.seq, readAt: lastMessage.readAt });
      }
    }
    if (!cursor) this.#forgetUnlisted(conversations, nextCursor === null, before.heard);
    if (cursor || this.#summaries.size <= conversations.length) this.#cursor = nextCursor;
    this.#changed();
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
      if (!ids.has(summary.id) && !isHeard && this.#activityOf(summary) > oldest) this.#work.gone(summary.id);
    }
  }

  /**
   * Takes a conversation as it was when the service read it: events that have come since the request are newer.
   *
   * @param {Summary} summary
   * @param {Before} before
   */
  #merge(summary, { heard, reads, versions }) {
    const { id } = summary;
    const known = this.#summaries.get(id);
    const isHeard = this.#heard.get(id) !== heard.get(id);
    // It may have been a removal.
    if (isHeard && !known) return;
    const pick = (/** @type {"lastSeq" | "lastChange"} */ number) =>
      known && (known[number] > summary[number] || (known[number] === summary[number] && isHeard)) ? known : summary;
    const latest = pick("lastSeq");
    const { lastMessageAt, lastSeq } = latest;
    // What the service has counted, and what has come since.
    const since = this.#othersBetween(id, summary.lastSeq, lastSeq);
    const unreadCount = Math.min(summary.unreadCount + (since ?? lastSeq - summary.lastSeq), this.#most(id, lastSeq));
    const isExact = since !== undefined && this.#reads.get(id) === reads.get(id);
    const other = latest === known ? summary : known;
    const isSame = latest.lastMessage !== null && other?.lastMessage?.id === latest.lastMessage.id;
    const otherUser = summary.otherUser ?? known?.otherUser ?? null;
    const presence = otherUser ? this.#presence.get(otherUser.id) : undefined;
    const isTold = presence && otherUser && presence.version !== versions.get(otherUser.id);
    const merged = {
      ...pick("lastChange"),
      // Both may have it, one of them in a later state.
      lastMessage: isSame && other?.lastMessage ? newer(latest.lastMessage, other.lastMessage) : latest.lastMessage,
      lastMessageAt,
      lastSeq,
      unreadCount,
      otherUser: isTold ? { ...otherUser, online: presence.online, lastSeenAt: presence.lastSeenAt ?? otherUser.lastSeenAt } : otherUser,
    };
    this.#summaries.set(id, Object.freeze(merged));
    if (!isExact && unreadCount > 0) this.fetchSoon(id);
  }

  /**
   * How many of the messages after one, up to another, are not this user's own; undefined if that is not known.
   *
   * @param {string} id
   * @param {number} after
   * @param {number} upTo
   */
  #othersBetween(id, after, upTo) {
    const senders = this.#senders.get(id);
    let others = 0;
    for (let seq = after + 1; seq <= upTo; seq++) {
      const sender = senders?.get(seq);
      if (sender === undefined) return undefined;
      if (sender !== this.#api.userId) others++;
    }
    return others;
  }

  /**
   * How many messages of a conversation can be unread at most.
   *
   * @param {string} id
   * @param {number} lastSeq
   */
  #most(id, lastSeq) {
    return Math.max(0, lastSeq - (this.#readUpTo.get(id) ?? 0));
  }

  /** @param {Message} message */
  #remember({ conversationId, seq, senderId }) {
    const senders = this.#senders.get(conversationId) ?? new Map();
    this.#senders.set(conversationId, senders.set(seq, senderId));
    for (const oldest of senders.keys()) {
      if (senders.size <= REMEMBERED) break;
      senders.delete(oldest);
    }
  }

  // What is heard.

  /** @param {Message} message a new message that was pushed or sent */
  take(message) {
    const { conversationId, senderId, seq } = message;
    this.#remember(message);
    const summary = this.#summaries.get(conversationId);
    if (summary && seq <= summary.lastSeq) return this.#renewLatest(summary, message);
    // Not listed here yet, or messages were missed whose senders are not known here.
    if (!summary || seq > summary.lastSeq + 1) return this.#refreshSoon();
    const unreadCount = senderId === this.#api.userId || this.#hasRead(conversationId, seq) ? summary.unreadCount : summary.unreadCount + 1;
    this.#summarise({ ...summary, ...latest(message), unreadCount });
  }

  /** @param {{conversationId: string, lastMessage: Message, lastSeq: number, unreadCount: number}} update */
  update({ conversationId, lastMessage, lastSeq, unreadCount }) {
    this.#remember(lastMessage);
    const summary = this.#summaries.get(conversationId);
    // Not listed here yet: it is new, or on a later page.
    if (!summary) return this.#refreshSoon();
    if (lastMessage.change !== null) this.messageChanged(conversationId, lastMessage.change, lastMessage);
    const known = this.#summaries.get(conversationId) ?? summary;
    if (lastSeq <= known.lastSeq) return this.#renewLatest(known, lastMessage);
    this.#summarise({ ...known, ...latest(lastMessage), unreadCount: this.#hasRead(conversationId, lastSeq) ? 0 : unreadCount });
  }

  /**
   * @param {string} conversationId
   * @param {number} change
   * @param {Message} message
   */
  messageChanged(conversationId, change, message) {
    const summary = this.#summaries.get(conversationId);
    if (!summary) return;
    // A message that is not in the list yet brings the conversation with it.
    const isNext = summary.lastChange === change - 1 && message.seq <= summary.lastSeq;
    if (this.#isNewChange(conversationId, change) && !isNext) this.fetchSoon(conversationId);
    this.#renewLatest(isNext ? { ...summary, lastChange: change } : summary, message);
  }

  /** @param {{conversationId: string, title: string, avatarUrl: string | null, participantCount: number, lastChange: number}} change */
  groupChanged({ conversationId, title, avatarUrl, participantCount, lastChange }) {
    if (!this.#isNewChange(conversationId, lastChange)) return;
    const summary = this.#summaries.get(conversationId);
    if (summary?.lastChange !== lastChange - 1) return this.fetchSoon(conversationId);
    this.#summarise({ ...summary, title, avatarUrl, participantCount, lastChange });
  }

  /**
   * Returns whether it is news: a later change may have been heard of.
   *
   * @param {import("./types.js").RosterChange} change
   */
  rosterChanged({ conversationId, added, removed, roles, participantCount, lastChange }) {
    if (!this.#isNewChange(conversationId, lastChange)) return false;
    const me = this.#api.userId;
    const summary = this.#summaries.get(conversationId);
    if (removed.includes(me)) this.#work.gone(conversationId);
    else if (added.includes(me) || summary?.lastChange !== lastChange - 1) this.fetchSoon(conversationId);
    else {
      const role = roles.find(({ userId }) => userId === me)?.role ?? summary.role;
      this.#summarise({ ...summary, role, participantCount, lastChange });
    }
    return true;
  }

  /**
   * @param {string} conversationId
   * @param {Read} read
   */
  read(conversationId, { readerId, upToSeq, readAt }) {
    const mine = readerId === this.#api.userId;
    if (mine) {
      this.#readUpTo.set(conversationId, Math.max(upToSeq, this.#readUpTo.get(conversationId) ?? 0));
      this.#reads.set(conversationId, (this.#reads.get(conversationId) ?? 0) + 1);
    }
    const summary = this.#summaries.get(conversationId);
    if (!summary) return;
    const { lastMessage } = summary;
    const reads = summary.kind !== "group" && lastMessage && lastMessage.senderId !== readerId && lastMessage.seq <= upToSeq && !lastMessage.readAt;
    this.#summarise({
      ...summary,
      lastMessage: reads ? { ...lastMessage, readAt } : lastMessage,
      unreadCount: Math.min(summary.unreadCount, this.#most(conversationId, summary.lastSeq)),
    });
    // How many of those after it are this user's own is not known here.
    if (mine && summary.unreadCount > 0 && upToSeq < summary.lastSeq) this.fetchSoon(conversationId);
  }

  /**
   * Returns whether it is news.
   *
   * @param {import("./types.js").Presence & {version: number}} presence
   */
  presence({ userId, online, lastSeenAt, version }) {
    strings({ userId });
    integers({ version });
    const known = this.#presence.get(userId);
    if (known && known.version >= version) return false;
    this.#presence.set(userId, Object.freeze({ online, lastSeenAt, version }));
    for (const summary of this.#summaries.values()) {
      if (summary.otherUser?.id !== userId) continue;
      const otherUser = { ...summary.otherUser, online, lastSeenAt: lastSeenAt ?? summary.otherUser.lastSeenAt };
      this.#summarise({ ...summary, otherUser });
    }
    return true;
  }

  /**
   * Whether this user has unread messages, and some of them up to a `seq`.
   *
   * @param {string} conversationId
   * @param {number} seq
   */
  hasUnread(conversationId, seq) {
    return !this.#hasRead(conversationId, seq) && (this.#summaries.get(conversationId)?.unreadCount ?? 0) > 0;
  }

  /** @param {string} userId */
  presenceOf(userId) {
    const direct = this.conversations.find(({ otherUser }) => otherUser?.id === userId);
    return direct?.otherUser ?? this.#presence.get(userId);
  }

  /** The next list is newer than all presence before it. A service with a new database counts versions from 1 again. */
  forgetPresence() {
    this.#presence.clear();
  }

  /**
   * Drops a conversation. Returns whether it was listed.
   *
   * @param {string} conversationId
   */
  forget(conversationId) {
    this.#heard.set(conversationId, (this.#heard.get(conversationId) ?? 0) + 1);
    const wasListed = this.#summaries.delete(conversationId);
    if (wasListed) this.#changed(conversationId);
    return wasListed;
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
   * When something last happened in a conversation that this user sees: a message, or being added.
   *
   * @param {Summary} summary
   */
  #activityOf({ id, lastMessageAt }) {
    // The id holds the time of creation (UUIDv7).
    return lastMessageAt ? Date.parse(lastMessageAt) : (this.#places.get(id) ?? parseInt(id.replace("-", "").slice(0, 12), 16));
  }

  /** @param {Summary} summary */
  #summarise(summary) {
    this.#heard.set(summary.id, (this.#heard.get(summary.id) ?? 0) + 1);
    this.#summaries.set(summary.id, Object.freeze(summary));
    this.#changed(summary.id);
  }

  /** @param {string} [conversationId] */
  #changed(conversationId) {
    this.#sorted = undefined;
    this.#work.changed(conversationId);
  }
}

/** @param {Message} message */
function latest(message) {
  return { lastMessage: message, lastMessageAt: message.createdAt, lastSeq: message.seq };
}
