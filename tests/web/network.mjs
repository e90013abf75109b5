// Networks that are bad in a way that a test decides.

import { createServer, connect } from "node:net";

/** A network between a client and a service, whatever that is: frames and requests can be held back, late, and out of order. */
export class Network {
  #held = [];
  #isFrozen = false;
  /** The longest delay of a frame or a request. Each has one of its own, so that they overtake each other. */
  latestMs = 0;
  #random;

  /** @param {() => number} [random] */
  constructor(random = Math.random) {
    this.#random = random;
  }

  /** Nothing arrives any more, and nobody is told. */
  freeze() {
    this.#isFrozen = true;
  }

  /** What was held back arrives. */
  thaw() {
    this.#isFrozen = false;
    for (const arrive of this.#held.splice(0)) this.#carry(arrive);
  }

  #carry(arrive) {
    if (this.#isFrozen) this.#held.push(arrive);
    else if (this.latestMs > 0) setTimeout(() => (this.#isFrozen ? this.#held.push(arrive) : arrive()), this.#random() * this.latestMs);
    else arrive();
  }

  /** The options of a client that is behind this network. */
  behind({ WebSocket, fetch, ...options }) {
    const network = this;
    class Socket extends WebSocket {
      set onmessage(listener) {
        super.onmessage = listener && ((event) => network.#carry(() => this.readyState === 1 && listener(event)));
      }

      send(text) {
        network.#carry(() => this.readyState === 1 && super.send(text));
      }
    }
    const carried = () => new Promise((resolve) => network.#carry(resolve));
    const fetches = async (url, request) => {
      const ended = new Promise((_, reject) => request.signal?.addEventListener("abort", () => reject(request.signal.reason), { once: true }));
      const answered = (async () => {
        await carried();
        const answer = await fetch(url, request);
        await carried();
        return answer;
      })();
      return Promise.race([answered, ended]);
    };
    return { ...options, WebSocket: Socket, fetch: fetches };
  }
}

/** A TCP proxy in front of a service. */
export class Proxy {
  #sockets = new Set();
  #isFrozen = false;
  #delayMs = 0;

  /**
   * @param {string} url of the service
   */
  constructor(url) {
    const { hostname, port } = new URL(url);
    this.server = createServer((near) => {
      const far = connect(Number(port), hostname);
      for (const [from, to] of [[near, far], [far, near]]) {
        this.#sockets.add(from);
        from.on("data", (data) => setTimeout(() => to.writable && to.write(data), this.#delayMs));
        from.on("error", () => {});
        from.on("close", () => (this.#sockets.delete(from), to.destroy()));
        if (this.#isFrozen) from.pause();
      }
    });
  }

  async listen() {
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  /** Nothing gets through any more, in either direction, and no connection ends. */
  freeze() {
    this.#isFrozen = true;
    for (const socket of this.#sockets) socket.pause();
  }

  thaw() {
    this.#isFrozen = false;
    for (const socket of this.#sockets) socket.resume();
  }

  /** Everything is this late from now on. */
  delay(ms) {
    this.#delayMs = ms;
  }

  /** Ends all connections without a word. */
  drop() {
    for (const socket of this.#sockets) socket.destroy();
  }

  close() {
    this.drop();
    this.server.close();
  }
}
