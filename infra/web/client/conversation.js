// The messages of one conversation, kept complete and in order, whatever order they arrive in.

// @ts-check

/**
 * @typedef {{id: string, name: string | null, displayName: string | null, avatarUrl: string | null}} User
 * @typedef {{id: string, conversationId: string, seq: number, senderId: string, sender: User, content: string,
 *   clientMessageId: string | null, createdAt: string, readAt: string | null}} Message
 * @typedef {{messages: Message[], hasMore: boolean, firstSeq: number}} Page
 */

export class Conversation {
  /** The messages from the oldest fetched one to the latest, in order and without gaps. @type {Message[]} */
  messages = [];
  /** Whether there are older messages to fetch. */
  hasMore = true;
  /** The `seq` of the first message that this user sees: nothing below it is asked for. */
  firstSeq = 1;
  /** Messages after a gap or before the first page, by `seq`; they wait until the gap is filled. @type {Map<number, Message>} */
  #early = new Map();
  /** The highest `seq` that is known to exist. */
  #known = 0;
  /** Whether the newest messages were fetched. */
  loaded = false;
  /** How far each participant has read, and when. @type {Map<string, {upToSeq: number, readAt: string}>} */
  #read = new Map();
  /** @type {Promise<void> | undefined} */
  #filling;
  #fetch;
  #added;

  /**
   * @param {string} id
   * @param {(query: string) => Promise<Page>} fetch gets a page of messages
   * @param {(messages: Message[]) => void} added is called with the messages that are new at the end
   */
  constructor(id, fetch, added) {
    this.id = id;
    this.#fetch = fetch;
    this.#added = added;
  }

  /** The `seq` of the latest message without a gap before it. */
  get lastSeq() {
    return this.messages.at(-1)?.seq ?? this.firstSeq - 1;
  }

  /** Fetches the newest page. */
  async load() {
    const { messages, hasMore } = await this.#page("");
    if (this.loaded) return this.catchUp(messages.at(-1)?.seq ?? 0);
    this.loaded = true;
    this.messages = messages.map((message) => this.#marked(message));
    this.hasMore = hasMore;
    for (const seq of this.#early.keys()) if (seq <= this.lastSeq) this.#early.delete(seq);
    await this.catchUp(this.#known);
  }

  /** Fetches the page before the oldest message. */
  async loadOlder() {
    const oldest = this.messages[0];
    if (!oldest || !this.hasMore) return;
    const { messages, hasMore } = await this.#page(`before=${oldest.seq}`);
    // It may have been called twice at once.
    if (this.messages[0] !== oldest) return;
    this.messages = [...messages.map((message) => this.#marked(message)), ...this.messages];
    this.hasMore = hasMore;
  }

  /**
   * Adds a message that was pushed or sent. Duplicates are dropped; a message after a gap waits until the gap
   * is filled.
   *
   * @param {Message} message
   */
  add(message) {
    if (message.seq <= this.lastSeq) return;
    this.#early.set(message.seq, message);
    this.#known = Math.max(this.#known, message.seq);
    if (!this.loaded) return;
    this.#append();
    // If that fails, the next message, ping or connection tries again.
    if (this.#early.size > 0) this.catchUp(this.#known).catch(() => {});
  }

  /**
   * Fetches the missing messages up to the highest `seq` known, once the first page is here. Calls at the same time share the
   * work.
   *
   * @param {number} lastSeq
   */
  async catchUp(lastSeq) {
    this.#known = Math.max(this.#known, lastSeq);
    if (!this.loaded) return;
    this.#filling ??= this.#fill().finally(() => (this.#filling = undefined));
    await this.#filling;
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
    if ((this.#read.get(readerId)?.upToSeq ?? 0) >= upToSeq) return;
    this.#read.set(readerId, { upToSeq, readAt });
    this.messages = this.messages.map((message) => this.#marked(message));
  }

  /**
   * @param {Message} message
   * @returns {Message}
   */
  #marked(message) {
    if (message.readAt) return message;
    const read = [...this.#read].find(([readerId, { upToSeq }]) => readerId !== message.senderId && message.seq <= upToSeq);
    return read ? { ...message, readAt: read[1].readAt } : message;
  }

  async #fill() {
    while (this.lastSeq < this.#known) {
      const isEmpty = this.messages.length === 0;
      const { messages } = await this.#page(isEmpty ? "limit=100" : `after=${this.lastSeq}&limit=100`);
      for (const message of messages) if (message.seq > this.lastSeq) this.#early.set(message.seq, message);
      if (isEmpty && messages.length > 0) {
        // There may be messages before those fetched now.
        this.hasMore = messages[0].seq > this.firstSeq;
        this.#append(messages[0].seq);
      } else {
        this.#append();
      }
      if (messages.length === 0) return;
    }
  }

  /**
   * Fetches a page. It tells where the messages begin for this user. Who was out of the conversation for a while sees what
   * comes after, and not any more what was before.
   *
   * @param {string} query
   */
  async #page(query) {
    const page = await this.#fetch(query);
    if (page.firstSeq > this.firstSeq) {
      this.firstSeq = page.firstSeq;
      this.messages = this.messages.filter(({ seq }) => seq >= page.firstSeq);
      if (this.messages.length === 0) this.hasMore = false;
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
    this.messages = [...this.messages, ...added];
    this.#added(added);
  }
}
