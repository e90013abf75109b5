// Events, each with a name and at most one value.

// @ts-check

/** @template {object} Map the events, each with what its listeners get */
export class Events {
  /** @type {globalThis.Map<keyof Map, Set<(value: any) => void>>} */
  #listeners = new globalThis.Map();

  /**
   * Calls a function at each event of a name. Returns the function that ends this.
   *
   * @template {keyof Map} Name
   * @param {Name} name
   * @param {(value: Map[Name]) => void} listener
   * @returns {() => void}
   */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    // The same function may listen twice.
    const call = (/** @type {Map[Name]} */ value) => listener(value);
    listeners.add(call);
    return () => void listeners.delete(call);
  }

  /**
   * @template {keyof Map} Name
   * @param {Name} name
   * @param {Map[Name]} value
   */
  emit(name, value) {
    callAll(this.#listeners.get(name) ?? [], value);
  }
}

/**
 * Calls listeners. What one throws is a fault of the application, which is told as such, and must not keep the client from its work.
 *
 * @template Value
 * @param {Iterable<(value: Value) => void>} listeners
 * @param {Value} value
 */
export function callAll(listeners, value) {
  for (const call of [...listeners]) {
    try {
      call(value);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
