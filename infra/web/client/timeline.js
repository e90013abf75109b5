// The messages of one conversation, kept complete and in order, whatever order they and their changes arrive in.

// @ts-check

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {{messages: Message[], hasMore: boolean, firstSeq: number, lastChange: number}} Page
 * @typedef {{messages: Message[], hasMore: boolean, lastChange: number}} Fetched
 * @typedef {{page: (query: string) => Promise<Page>, changes: (after: number) => Promise<Fetched>}} Source where messages and
 *   their changes are fetched
 * @typedef {(message: Message) => Message} Overlay shows a message as the user has asked for it
 */

export class Timeline {
  /**
   * The messages from the oldest fetched one to the latest, in order and without gaps, as the user wants them: what they have
   * asked for is shown before it is stored. @type {readonly Message[]}
   */
  messages = [];
  /** The same as they are stored. @type {readonly Message[]} */
  #stored = [];
  /** Whether there are older messages to fetch. */
  hasMore = true;
  /** The `seq` of the first message that this user sees: nothing below it is asked for. */
  firstSeq = 1;
  /** Messages after a gap or before the first page, by `seq`; they wait until the gap is filled. @type {Map<number, Message>} */
  #early = new Map();
  /** The highest `seq` that is known to exist. */
  #known = 0;
  /** The change up to which the messages show all changes; known once the first page is here. */
  #complete = 0;
  /** The latest change that is known to exist. */
  #latestChange = 0;
  /** Whether the newest messages were fetched. */
  loaded = false;
  /** How far each participant has read, and when. @type {Map<string, {upToSeq: number, readAt: string}>} */
  #read = new Map();
  /** What the user has asked for and the service has not answered, by message. @type {Map<string, Overlay[]>} */
  #overlays = new Map();
  /** Messages that were fetched because others answer them, by id; null as in `find`. @type {Map<string, Message | null>} */
  #quoted = new Map();
  /** The requests for them that are under way. @type {Map<string, Promise<void>>} */
  #quoting = new Map();
  /** @type {Promise<void> | undefined} */
  #filling;
  /** @type {Promise<void> | undefined} */
  #catchingUp;
  #source;
  #added;
  #renewed;

  /**
   * @param {string} id
   * @param {Source} source
   * @param {(messages: Message[]) => void} added is called with the messages that are new at the end
   * @param {() => void} [renewed] is called when changes were fetched
   */
  constructor(id, source, added, renewed = () => {}) {
    this.id = id;
    this.#source = source;
    this.#added = added;
    this.#renewed = renewed;
  }

  /** The `seq` of the latest message without a gap before it. */
  get lastSeq() {
    return this.#stored.at(-1)?.seq ?? this.firstSeq - 1;
  }

  /** Fetches the newest page. */
  async load() {
    const { messages, hasMore, lastChange } = await this.#page("");
    if (this.loaded) return this.catchUp(messages.at(-1)?.seq ?? 0);
    this.loaded = true;
    this.#complete = lastChange;
    this.#show(messages.map((message) => this.#marked(message)));
    this.hasMore = hasMore;
    for (const [seq, message] of this.#early) {
      if (seq <= this.lastSeq && this.#early.delete(seq)) this.#renew(message);
    }
    await Promise.all([this.catchUp(this.#known), this.catchUpChanges(0)]);
  }

  /**
   * Fetches the page before the oldest message.
   *
   * @param {number} [limit]
   */
  async loadOlder(limit = 50) {
    const oldest = this.#stored[0];
    if (!oldest || !this.hasMore) return;
    const { messages, hasMore } = await this.#page(`before=${oldest.seq}&limit=${limit}`);
    // It may have been called twice at once.
    if (this.#stored[0]?.id !== oldest.id) return;
    this.#show([...messages.map((message) => this.#marked(message)), ...this.#stored]);
    this.hasMore = hasMore;
  }

  /**
   * The message with this id, if it is here or was fetched by `quote`. Null if the service has refused it, since this user does
   * not see it.
   *
   * @param {string} id
   */
  find(id) {
    return this.messages.find((message) => message.id === id) ?? this.#quoted.get(id);
  }

  /**
   * A message as it is stored, without what the user has asked for since.
   *
   * @param {string} id
   */
  stored(id) {
    return this.#stored.find((message) => message.id === id) ?? this.#quoted.get(id) ?? undefined;
  }

  /**
   * Whether a message shows something that is not stored yet.
   *
   * @param {string} id
   */
  isPending(id) {
    return this.#overlays.has(id);
  }

  /**
   * Fetches a message that another one answers. Calls at the same time share the work.
   *
   * @param {string} id
   */
  async quote(id) {
    if (this.find(id) !== undefined) return;
    const quoting = this.#quoting.get(id) ?? this.#fetchQuoted(id).finally(() => this.#quoting.delete(id));
    this.#quoting.set(id, quoting);
    await quoting;
  }

  /** @param {string} id */
  async #fetchQuoted(id) {
    try {
      // The message before it tells its `seq`, unless it is the first.
      const before = await this.#page(`before=${id}&limit=1`);
      const seq = before.messages[0]?.seq ?? this.firstSeq - 1;
      const { messages } = await this.#page(`after=${seq}&limit=1`);
      if (messages[0]?.id === id) this.#quoted.set(id, newer(this.#quoted.get(id), messages[0]));
    } catch (error) {
      if (/** @type {any} */ (error).code !== "invalid_request") throw error;
      this.#quoted.set(id, null);
    }
  }

  /**
   * Adds a message that was pushed or sent, or its later state. Duplicates are dropped; a message after a gap waits until the
   * gap is filled.
   *
   * @param {Message} message
   */
  add(message) {
    if (this.#quoted.has(message.id) || this.#quoting.has(message.id)) this.#quoted.set(message.id, newer(this.#quoted.get(message.id), message));
    if (message.seq <= this.lastSeq) return this.#renew(message);
    this.#early.set(message.seq, newer(this.#early.get(message.seq), message));
    this.#known = Math.max(this.#known, message.seq);
    if (!this.loaded) return;
    this.#append();
    // If that fails, the next message, ping or connection tries again.
    if (this.#early.size > 0) this.catchUp(this.#known).catch(() => {});
  }

  /**
   * Takes note of a change of the conversation: of one of its messages, or of its title or participants.
   *
   * @param {number} change
   * @param {Message} [message] the message that has changed, as it is now
   */
  changed(change, message) {
    if (message) this.add(message);
    if (this.loaded && change === this.#complete + 1) this.#complete = change;
    // If that fails, the next change, ping or connection tries again.
    this.catchUpChanges(change).catch(() => {});
  }

  /**
   * Shows a message as the user wants it, until `settle` is called with the same function.
   *
   * @param {string} id
   * @param {Overlay} overlay
   */
  ask(id, overlay) {
    this.#overlays.set(id, [...(this.#overlays.get(id) ?? []), overlay]);
    this.#show(this.#stored);
  }

  /**
   * Shows a message as it is stored again, apart from what else was asked for.
   *
   * @param {string} id
   * @param {Overlay} overlay
   */
  settle(id, overlay) {
    const others = (this.#overlays.get(id) ?? []).filter((other) => other !== overlay);
    if (others.length > 0) this.#overlays.set(id, others);
    else this.#overlays.delete(id);
    this.#show(this.#stored);
  }

  /**
   * Fetches the missing messages up to the highest `seq` known, once the first page is here. Calls at the same time share the
   * work.
   *
   * @param {number} lastSeq
   */
  async catchUp(lastSeq) {
    this.#known = Math.max(this.#known, lastSeq);
    if (!this.loaded || this.lastSeq >= this.#known) return;
    this.#filling ??= this.#fill();
    await this.#filling;
  }

  /**
   * Fetches the missing changes up to the latest one known, once the first page is here. Calls at the same time share the work.
   *
   * @param {number} lastChange
   */
  async catchUpChanges(lastChange) {
    this.#latestChange = Math.max(this.#latestChange, lastChange);
    if (!this.loaded || this.#complete >= this.#latestChange) return;
    this.#catchingUp ??= this.#fetchChanges();
    await this.#catchingUp;
  }

  /**
   * Marks the messages up to `upToSeq` that the reader did not send as read, also those that arrive later, since frames
   * overtake each other.
   *
   * @param {string} readerId
   * @param {number} upToSeq
   * @param {string} readAt
   */
  markRead(readerId, upToSeq, readAt) {
    const before = this.#read.get(readerId)?.upToSeq ?? 0;
    if (before >= upToSeq) return;
    this.#read.set(readerId, { upToSeq, readAt });
    this.#show(this.#stored.map((message) => (message.seq > before && message.seq <= upToSeq ? this.#marked(message) : message)));
  }

  /**
   * @param {Message} message
   * @returns {Message}
   */
  #marked(message) {
    if (message.readAt) return message;
    for (const [readerId, { upToSeq, readAt }] of this.#read) {
      if (readerId !== message.senderId && message.seq <= upToSeq) return Object.freeze({ ...message, readAt });
    }
    return message;
  }

  /**
   * Takes the stored messages, and shows them with what the user has asked for.
   *
   * @param {readonly Message[]} stored
   */
  #show(stored) {
    this.#stored = Object.freeze(stored);
    const shown = (/** @type {Message} */ message) =>
      (this.#overlays.get(message.id) ?? []).reduce((under, overlay) => Object.freeze(overlay(under)), message);
    this.messages = this.#overlays.size === 0 ? stored : Object.freeze(stored.map(shown));
  }

  /**
   * Takes the later state of a message, if it is here. Otherwise the page that brings it shows that state.
   *
   * @param {Message} message
   */
  #renew(message) {
    const at = message.seq - (this.#stored[0]?.seq ?? 0);
    const known = this.#stored[at];
    if (known?.id !== message.id || newer(known, message) === known) return;
    this.#show(this.#stored.map((other, index) => (index === at ? this.#marked(message) : other)));
  }

  /** Fetches messages until none is missing. What becomes known after the last check needs another call. */
  async #fill() {
    try {
      while (this.lastSeq < this.#known) {
        const isEmpty = this.#stored.length === 0;
        const { messages } = await this.#page(isEmpty ? "limit=100" : `after=${this.lastSeq}&limit=100`);
        for (const message of messages) {
          if (message.seq > this.lastSeq) this.#early.set(message.seq, newer(this.#early.get(message.seq), message));
        }
        if (isEmpty && messages.length > 0) {
          // There may be messages before those fetched now.
          this.hasMore = messages[0].seq > this.firstSeq;
          this.#append(messages[0].seq);
        } else {
          this.#append();
        }
        if (messages.length === 0) return;
      }
    } finally {
      this.#filling = undefined;
    }
  }

  /** Fetches changes until none is missing. What becomes known after the last check needs another call. */
  async #fetchChanges() {
    try {
      while (this.#complete < this.#latestChange) {
        const after = this.#complete;
        const { messages, hasMore, lastChange } = await this.#source.changes(after);
        for (const message of messages) this.add(message);
        this.#renewed();
        // A page has come meanwhile that shows less.
        if (this.#complete < after) continue;
        // Nothing has come, although there is more: the next change, ping or connection tries again.
        if (lastChange <= this.#complete && !hasMore) return;
        this.#complete = Math.max(this.#complete, lastChange);
      }
    } finally {
      this.#catchingUp = undefined;
    }
  }

  /**
   * Fetches a page. It tells where the messages begin for this user. Who was out of the conversation for a while sees what
   * comes after, and not any more what was before.
   *
   * @param {string} query
   */
  async #page(query) {
    const page = await this.#source.page(query);
    if (page.firstSeq > this.firstSeq) {
      this.firstSeq = page.firstSeq;
      this.#show(this.#stored.filter(({ seq }) => seq >= page.firstSeq));
      this.#quoted.clear();
      if (this.#stored.length === 0) this.hasMore = false;
    }
    if (this.loaded && page.lastChange < this.#complete) {
      // A change of one of these messages may have come after the service has read them, and was not kept.
      this.#complete = page.lastChange;
      this.catchUpChanges(0).catch(() => {});
    }
    return page;
  }

  /** @param {number} [from] */
  #append(from = this.lastSeq + 1) {
    /** @type {Message[]} */
    const added = [];
    for (let seq = from, message; (message = this.#early.get(seq)); seq++) {
      this.#early.delete(seq);
      added.push(this.#marked(message));
    }
    for (const seq of this.#early.keys()) if (seq < from) this.#early.delete(seq);
    if (added.length === 0) return;
    this.#show([...this.#stored, ...added]);
    this.#added(added);
  }
}

/**
 * The later of two states of a message.
 *
 * @param {Message | null | undefined} known
 * @param {Message} message
 */
export function newer(known, message) {
  return known && (known.change ?? 0) >= (message.change ?? 0) ? known : message;
}
