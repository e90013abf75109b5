// Who is typing: others as they tell, and this user as others are told.

// @ts-check

import { integers, strings } from "./checks.js";

/** The interval of typing frames while the user types. Other clients show the user as typing for 6 seconds after each. */
const TYPING_EVERY_MS = 3000;

export class Typing {
  /** The timers after which somebody counts as having stopped, by conversation and user. @type {Map<string, Map<string, any>>} */
  #typists = new Map();
  /** When this user's last frame was sent, by conversation. @type {Map<string, number>} */
  #toldAt = new Map();
  #link;
  #changed;

  /**
   * @param {import("./link.js").Link} link
   * @param {(typing: import("./types.js").Typing) => void} changed
   */
  constructor(link, changed) {
    this.#link = link;
    this.#changed = changed;
  }

  /**
   * The ids of those who type in a conversation.
   *
   * @param {string} conversationId
   */
  in(conversationId) {
    return [...(this.#typists.get(conversationId)?.keys() ?? [])];
  }

  /**
   * Takes that somebody types, or has stopped.
   *
   * @param {{conversationId: string, userId: string}} who
   * @param {number} expiresInMs 0 if they have stopped
   */
  heard({ conversationId, userId }, expiresInMs) {
    strings({ conversationId, userId });
    integers({ expiresInMs });
    const typists = this.#typists.get(conversationId) ?? new Map();
    const was = typists.has(userId);
    clearTimeout(typists.get(userId));
    typists.delete(userId);
    const stop = () => this.heard({ conversationId, userId }, 0);
    if (expiresInMs > 0) typists.set(userId, setTimeout(stop, expiresInMs));
    if (typists.size > 0) this.#typists.set(conversationId, typists);
    else this.#typists.delete(conversationId);
    if (was !== expiresInMs > 0) this.#changed({ conversationId, userId, typing: expiresInMs > 0 });
  }

  /**
   * Tells the others that this user types, as often as they have to know.
   *
   * @param {string} conversationId
   */
  tell(conversationId) {
    const last = this.#toldAt.get(conversationId) ?? 0;
    if (!this.#link.connection || Date.now() - last < TYPING_EVERY_MS) return;
    this.#toldAt.set(conversationId, Date.now());
    this.#link.connection.tell("typing_start", { conversationId });
  }

  /**
   * Tells the others that this user has stopped.
   *
   * @param {string} conversationId
   */
  tellStopped(conversationId) {
    if (this.#toldAt.delete(conversationId)) this.#link.connection?.tell("typing_stop", { conversationId });
  }

  /**
   * A message tells the others by itself that its sender has stopped.
   *
   * @param {string} conversationId
   */
  sent(conversationId) {
    this.#toldAt.delete(conversationId);
  }

  stop() {
    for (const [conversationId, typists] of [...this.#typists]) {
      for (const userId of [...typists.keys()]) this.heard({ conversationId, userId }, 0);
    }
  }
}
