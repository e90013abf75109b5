// The messages of one conversation, complete and in order whatever order they come in.

// @ts-check

/**
 * @typedef {{id: string, name: string | null, displayName: string | null, avatarUrl: string | null}} User
 * @typedef {{id: string, conversationId: string, seq: number, senderId: string, sender: User, content: string,
 *   clientMessageId: string | null, createdAt: string, readAt: string | null}} Message
 * @typedef {{messages: Message[], hasMore: boolean}} Page
 */

export class Conversation {
  /** In order and without gaps: from the oldest that was fetched to the latest. @type {Message[]} */
  messages = [];
  /** Whether there are older ones. */
  hasMore = true;
  /** Those that came before the ones between, by `seq`. @type {Map<number, Message>} */
  #early = new Map();
  /** The latest place that is known to exist. */
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
   * @param {(messages: Message[]) => void} added is told of messages that are new at the end
   */
  constructor(id, fetch, added) {
    this.id = id;
    this.#fetch = fetch;
    this.#added = added;
  }

  /** The place of the latest message that is here. */
  get lastSeq() {
    return this.messages.at(-1)?.seq ?? 0;
  }

  /** Fetches the newest page. */
  async load() {
    const { messages, hasMore } = await this.#fetch("");
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
    const { messages, hasMore } = await this.#fetch(`before=${oldest.id}`);
    // Somebody may have asked twice.
    if (this.messages[0] !== oldest) return;
    this.messages = [...messages.map((message) => this.#marked(message)), ...this.messages];
    this.hasMore = hasMore;
  }

  /**
   * Takes a message that was pushed or sent. What is here already is dropped; what does not follow waits
   * until the ones between are fetched.
   *
   * @param {Message} message
   */
  add(message) {
    if (message.seq <= this.lastSeq) return;
    this.#early.set(message.seq, message);
    this.#known = Math.max(this.#known, message.seq);
    if (!this.loaded) return;
    this.#append();
    // If that fails, the next message, ping or connection brings it up again.
    if (this.#early.size > 0) this.catchUp(this.#known).catch(() => {});
  }

  /**
   * Fetches what is missing up to a place; every later call waits for the same work.
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
   * The other side's messages are read up to a place. Those that come later but are older are read too: frames overtake each
   * other.
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
      const last = this.messages.at(-1);
      const { messages } = await this.#fetch(last ? `after=${last.id}&limit=100` : "limit=100");
      for (const message of messages) if (message.seq > this.lastSeq) this.#early.set(message.seq, message);
      if (this.messages.length === 0 && messages.length > 0) {
        // It was empty; what is fetched now need not begin at the very first.
        this.hasMore = messages[0].seq > 1;
        this.#append(messages[0].seq);
      } else {
        this.#append();
      }
      if (messages.length === 0) return;
    }
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
