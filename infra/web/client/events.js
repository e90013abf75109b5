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
    for (const call of [...(this.#listeners.get(name) ?? [])]) {
      try {
        call(value);
      } catch (error) {
        // It is a fault of the application, which is told as such, and must not keep the client from its work.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
