// Keeps messages that are not stored yet in IndexedDB, so that they survive a reload, a crash of the page, and its end.

// @ts-check

import { newId } from "./checks.js";
import { SwitchboardError } from "./errors.js";

const DATABASE = "switchboard-outbox";
const STORE = "outgoing";

/**
 * @typedef {import("./types.js").Outgoing} Outgoing
 * @typedef {{clientMessageId: string, userId: string, owner: string, at: number, outgoing: any}} Entry
 */

/**
 * An outbox for `createSwitchboard`, one for each client. Each page sends its own messages. It holds a lock as long as it lives,
 * and whoever gets that lock next sends what it has left.
 *
 * @returns {import("./types.js").OutboxStore}
 */
export function idbOutbox() {
  return new IdbOutbox();
}

class IdbOutbox {
  #owner = newId();
  #userId = "";
  /** @type {Promise<IDBDatabase> | undefined} */
  #database;
  /** @type {BroadcastChannel | undefined} */
  #channel;
  #closing = new AbortController();
  /** The pages that are watched. @type {Set<string>} */
  #watched = new Set();
  /** When each message was kept, which is their order. @type {Map<string, number>} */
  #at = new Map();
  #latest = 0;

  /**
   * @param {string} userId
   * @param {(left: Outgoing[]) => void} adopt
   */
  async open(userId, adopt) {
    this.#userId = userId;
    this.#closing = new AbortController();
    this.#owner = newId();
    this.#watched = new Set([this.#owner]);
    this.#database = opened();
    const database = await this.#database;
    const { locks } = globalThis.navigator;
    // Without locks nobody knows who lives. A message that is sent twice is stored once.
    if (!locks) return adopt(await this.#take(database));
    const { signal } = this.#closing;
    // Held until `close`, or until the page ends.
    await new Promise((resolve, reject) => {
      const held = new Promise((_, end) => signal.addEventListener("abort", end, { once: true }));
      locks.request(nameOf(this.#owner), () => (resolve(undefined), held)).catch(reject);
    }).catch(nothing);
    const watch = (/** @type {string} */ owner) => {
      if (this.#watched.has(owner) || signal.aborted) return;
      this.#watched.add(owner);
      const take = async () => adopt(await this.#take(database, owner));
      locks.request(nameOf(owner), { signal }, take).catch(nothing);
    };
    if (typeof BroadcastChannel === "function") {
      this.#channel = new BroadcastChannel(DATABASE);
      this.#channel.onmessage = ({ data: { userId, owner, isNew } }) => {
        if (userId !== this.#userId) return;
        watch(owner);
        if (isNew) this.#channel?.postMessage({ userId, owner: this.#owner, isNew: false });
      };
      this.#channel.postMessage({ userId, owner: this.#owner, isNew: true });
    }
    const owners = new Set((await all(database, userId)).map(({ owner }) => owner));
    owners.delete(this.#owner);
    // Those whose pages have ended come before what this page sends.
    const takeNow = (/** @type {string} */ owner) =>
      locks.request(nameOf(owner), { ifAvailable: true }, async (lock) => (lock ? adopt(await this.#take(database, owner)) : watch(owner)));
    await Promise.all([...owners].map(takeNow));
  }

  /** @param {Outgoing} outgoing */
  async put(outgoing) {
    const { clientMessageId, error, ...more } = outgoing;
    this.#latest = Math.max(this.#latest + 1, Date.now());
    const at = this.#at.get(clientMessageId) ?? this.#latest;
    this.#at.set(clientMessageId, at);
    const kept = { ...more, clientMessageId, ...(error && { error: { code: error.code, message: error.message } }) };
    /** @type {Entry} */
    const entry = { clientMessageId, userId: this.#userId, owner: this.#owner, at, outgoing: kept };
    await this.#change((store) => store.put(entry));
  }

  /** @param {string} clientMessageId */
  async delete(clientMessageId) {
    this.#at.delete(clientMessageId);
    await this.#change((store) => store.delete(clientMessageId));
  }

  close() {
    this.#closing.abort();
    this.#channel?.close();
    // What is being written is written.
    this.#database?.then((database) => database.close(), nothing);
    this.#database = undefined;
  }

  /** @param {(store: IDBObjectStore) => void} change */
  async #change(change) {
    const database = await this.#database;
    if (!database) return;
    const transaction = database.transaction(STORE, "readwrite");
    change(transaction.objectStore(STORE));
    await ended(transaction);
  }

  /**
   * Takes over what a page has left, or all pages.
   *
   * @param {IDBDatabase} database
   * @param {string} [owner]
   */
  async #take(database, owner) {
    const transaction = database.transaction(STORE, "readwrite");
    const store = transaction.objectStore(STORE);
    /** @type {Entry[]} */
    const entries = await result(store.index("userId").getAll(this.#userId));
    const left = entries.filter((entry) => owner === undefined || entry.owner === owner);
    for (const entry of left) store.put({ ...entry, owner: this.#owner });
    await ended(transaction);
    for (const { clientMessageId, at } of left) this.#at.set(clientMessageId, at);
    return left.sort((one, other) => one.at - other.at).map(({ outgoing: { error, ...kept } }) => {
      return /** @type {Outgoing} */ ({ ...kept, ...(error && { error: new SwitchboardError(error.code, error.message) }) });
    });
  }
}

/** @returns {Promise<IDBDatabase>} */
function opened() {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "clientMessageId" }).createIndex("userId", "userId");
  return result(request);
}

/**
 * @param {IDBDatabase} database
 * @param {string} userId
 * @returns {Promise<Entry[]>}
 */
function all(database, userId) {
  return result(database.transaction(STORE).objectStore(STORE).index("userId").getAll(userId));
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @param {IDBTransaction} transaction */
function ended(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(undefined);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

/** @param {string} owner */
function nameOf(owner) {
  return `switchboard-outbox ${owner}`;
}

const nothing = () => {};
