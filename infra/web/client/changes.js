// Edits, deletions and reactions that this user has asked for. Each is shown at once, asked for until it is answered, and taken
// back if it is refused.

// @ts-check

import { given, pause } from "./checks.js";
import { Connection } from "./connection.js";
import { SwitchboardError } from "./errors.js";
import { BLAMED_AT_MOST, RETRY_MS } from "./outbox.js";

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./timeline.js").Overlay} Overlay
 * @typedef {{message: Message, action: string, fields: any, overlay: Overlay, at?: Message,
 *   blamed: number, resolve: (message: Message) => void, reject: (error: SwitchboardError) => void}} Asked a change that was asked
 *   for: the message as the user saw it, the frame, what is shown until it is answered, and for an edit the message as it was at
 *   the last try
 * @typedef {object} Work what is done with changes
 * @property {(conversationId: string) => import("./timeline.js").Timeline | undefined} timeline the messages of an open conversation
 * @property {(answer: {message: Message, change: number | null}) => void} answered
 * @property {(conversationId: string) => void} changed
 * @property {() => boolean} mayAsk whether no message has to be sent alone
 */

export class Changes {
  /** By message, in the order in which they were asked for. @type {Map<string, Asked[]>} */
  #asked = new Map();
  /** The messages with a change that waits for its answer. @type {Set<string>} */
  #delivering = new Set();
  #link;
  #random;
  #work;

  /**
   * @param {import("./link.js").Link} link
   * @param {import("./types.js").Options} options
   * @param {Work} work
   */
  constructor(link, options, work) {
    this.#link = link;
    this.#random = options.random ?? Math.random;
    this.#work = work;
  }

  get size() {
    return [...this.#asked.values()].flat().length;
  }

  /**
   * Gives a message another content, and other metadata if that is given.
   *
   * @param {Message} message
   * @param {string} content
   * @param {{metadata?: import("./types.js").Metadata | null | undefined}} more
   */
  edit(message, content, more) {
    const changed = { ...given(more), content };
    const fields = { messageId: message.id, ...changed };
    // What the user has seen is what they have asked for before.
    const own = this.#asked.get(message.id)?.findLast(({ action }) => action === "edit_message");
    const seen = own ? { ...message, content: own.fields.content } : message;
    return this.#ask(seen, "edit_message", fields, (shown) => ({ ...shown, ...changed, editedAt: new Date().toISOString() }));
  }

  /** @param {Message} message */
  delete(message) {
    const empty = { content: "", metadata: null, reactions: [], deletedAt: new Date().toISOString() };
    return this.#ask(message, "delete_message", { messageId: message.id }, (shown) => ({ ...shown, ...empty }));
  }

  /**
   * @param {Message} message
   * @param {string} reaction
   * @param {string} userId who gives it
   */
  react(message, reaction, userId) {
    const overlay = (/** @type {Message} */ shown) => ({ ...shown, reactions: withReaction(shown.reactions, reaction, userId) });
    return this.#ask(message, "add_reaction", { messageId: message.id, reaction }, overlay);
  }

  /**
   * @param {Message} message
   * @param {string} reaction
   * @param {string} userId who takes it back
   */
  unreact(message, reaction, userId) {
    const overlay = (/** @type {Message} */ shown) => ({ ...shown, reactions: withoutReaction(shown.reactions, reaction, userId) });
    return this.#ask(message, "remove_reaction", { messageId: message.id, reaction }, overlay);
  }

  /**
   * Shows in a conversation that is opened what was asked for before.
   *
   * @param {import("./timeline.js").Timeline} timeline
   */
  show(timeline) {
    for (const { message, overlay } of [...this.#asked.values()].flat()) {
      if (message.conversationId === timeline.id) timeline.ask(message.id, overlay);
    }
  }

  /**
   * Gives up what was asked for in a conversation that is gone, or in all.
   *
   * @param {SwitchboardError} reason
   * @param {string} [conversationId]
   */
  forget(reason, conversationId) {
    for (const queue of this.#asked.values()) {
      const [first] = queue;
      if (!first || (conversationId && first.message.conversationId !== conversationId)) continue;
      for (const { message, overlay, reject } of queue.splice(0)) {
        this.#settle(message, overlay);
        reject(reason);
      }
    }
  }

  deliverAll() {
    for (const messageId of this.#asked.keys()) void this.#deliver(messageId);
  }

  /** Asks for the changes over which a connection may have been closed, one at a time. */
  async deliverSuspects() {
    for (const [messageId, [first]] of [...this.#asked]) if (first?.blamed) await this.#deliver(messageId);
  }

  /**
   * @param {Message} message
   * @param {string} action
   * @param {object} fields
   * @param {Overlay} overlay
   * @returns {Promise<Message>}
   */
  #ask(message, action, fields, overlay) {
    const refusal = Connection.refusal(action, { ...fields, ifChange: Number.MAX_SAFE_INTEGER });
    if (refusal) return Promise.reject(refusal);
    const { id, conversationId } = message;
    this.#work.timeline(conversationId)?.ask(id, overlay);
    this.#work.changed(conversationId);
    return new Promise((resolve, reject) => {
      const queue = this.#asked.get(id) ?? [];
      queue.push({ message, action, fields, overlay, blamed: 0, resolve, reject });
      this.#asked.set(id, queue);
      void this.#deliver(id);
    });
  }

  /**
   * @param {Message} message
   * @param {Overlay} overlay
   */
  #settle({ id, conversationId }, overlay) {
    this.#work.timeline(conversationId)?.settle(id, overlay);
    this.#work.changed(conversationId);
  }

  /**
   * Asks for the changes of a message one after the other, which keeps their order.
   *
   * @param {string} messageId
   */
  async #deliver(messageId) {
    if (this.#delivering.has(messageId) || !this.#work.mayAsk()) return;
    this.#delivering.add(messageId);
    try {
      const queue = this.#asked.get(messageId) ?? [];
      // While offline, the next connection continues.
      while (this.#link.isOnline && queue.length > 0) {
        const [first] = queue;
        // It may have been given up meanwhile.
        if ((await this.#try(first)) && queue[0] === first) queue.shift();
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
  async #try(asked) {
    const { connection } = this.#link;
    if (!connection) return false;
    const { message, action, fields, overlay } = asked;
    const done = (/** @type {Message} */ stored) => {
      this.#settle(message, overlay);
      asked.resolve(stored);
      return true;
    };
    try {
      if (action !== "edit_message") {
        const answer = await connection.ask(action, fields);
        this.#work.answered(answer);
        return done(answer.message);
      }
      const latest = this.#work.timeline(message.conversationId)?.stored(message.id) ?? asked.at ?? message;
      // A try whose answer was lost may have been carried out.
      if (isEdited(asked, latest)) return done(latest);
      refuseConflict(asked, latest);
      asked.at = latest;
      const answer = await connection.ask(action, { ...fields, ifChange: latest.change });
      this.#work.answered(answer);
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
        if (this.#link.isOnline) await pause(error.retryAfterMs ?? RETRY_MS * (1 + this.#random()));
        return false;
      }
      this.#settle(message, overlay);
      asked.reject(error);
      return true;
    }
  }
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
 * @param {readonly import("./types.js").Reaction[]} reactions
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
 * @param {readonly import("./types.js").Reaction[]} reactions
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
