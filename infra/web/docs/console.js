// The console: two people with real connections, or one with a pasted token, and a log of what is sent and what comes.

import { html, useEffect, useReducer, useRef, useState } from "../vendor/preact-htm.js";
import { Code } from "./code.js";
import { pretty, service } from "./samples.js";

/** Whose names the two people have. */
const PEOPLE = ["console-ann", "console-ben"];
/** The most entries of the log that are shown. */
const MOST = 100;

/** A request: its line, and after an empty line its body. */
const REQUEST = /^(GET|POST|PUT|PATCH|DELETE) (\/\S*)\s*([^]*)$/;

/** Somebody with a connection. */
class Person {
  #heard;
  #socket;
  #token = "";
  #api = "";
  #sent = 0;

  constructor(name, heard) {
    this.name = name;
    this.#heard = heard;
  }

  connect(url, token, api) {
    this.#token = token;
    this.#api = api;
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(`${url}?token=${encodeURIComponent(token)}`);
      socket.onopen = () => resolve();
      socket.onerror = () => reject(new Error(`no connection to ${url}: the address or the token is wrong`));
      socket.onclose = ({ code, reason }) => this.#heard(this, { words: `lost the connection: ${code} ${reason}` });
      socket.onmessage = ({ data }) => this.#heard(this, { frame: JSON.parse(data) });
      this.#socket = socket;
    });
  }

  get isConnected() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  close() {
    if (!this.#socket) return;
    this.#socket.onclose = null;
    this.#socket.close();
  }

  /** Sends a frame with an id of its own, so that its answer is found. */
  send(frame) {
    const sent = { ...frame, id: String(++this.#sent) };
    this.#socket.send(JSON.stringify(sent));
    return sent;
  }

  /** Sends a request as `rawRequest` writes it. */
  async request(text) {
    const [, method, path, body] = REQUEST.exec(text);
    const headers = { authorization: `Bearer ${this.#token}`, ...(body && { "content-type": "application/json" }) };
    const answer = await fetch(`${this.#api}${path}`, { method, headers, ...(body && { body }) });
    return { status: answer.status, body: await answer.json().catch(() => undefined) };
  }
}

/** A token of a user, where `cargo dev` makes them. */
async function devToken(user) {
  const answer = await fetch(`/dev/token?${new URLSearchParams({ user, name: user })}`);
  if (!answer.ok) throw new Error("this service makes no tokens: paste one");
  return (await answer.json()).token;
}

export function Console({ tried, close }) {
  const [people, setPeople] = useState([]);
  // The latest first.
  const [entries, add] = useReducer((entries, entry) => (entry ? [{ key: (entries[0]?.key ?? 0) + 1, at: Date.now(), ...entry }, ...entries].slice(0, MOST) : []), []);
  const [problem, setProblem] = useState("");
  const [text, setText] = useState("");
  const [sender, setSender] = useState(0);
  // What the examples' ids stand for here.
  const here = useRef({ conversationId: "", messageId: "" });
  const field = useRef(null);
  const isClosed = useRef(false);
  useEffect(() => () => (isClosed.current = true), []);
  const heard = (person, { frame, words }) => {
    if (frame?.type === "new_message") here.current.messageId = frame.data.id;
    add({ who: person.name, way: words ? "lost" : "got", frame, words, id: frame?.id });
  };
  // Those who are connected anew, or nobody any more, leave.
  useEffect(() => () => people.forEach((person) => person.close()), [people]);

  /** A frame or a request of the documents, with ids that exist. */
  const filled = ({ frame, request, asItIs }) => {
    if (request) return here.current.conversationId ? request.replace(/(\/conversations\/)[0-9a-f-]{36}/, `$1${here.current.conversationId}`) : request;
    if (asItIs) return pretty({ ...frame, id: undefined });
    const { id: _, ...fields } = frame;
    for (const name of ["conversationId", "messageId"]) if (name in fields && here.current[name]) fields[name] = here.current[name];
    if (fields.action === "send_message") fields.clientMessageId = crypto.randomUUID();
    // It expects a change that the example had.
    delete fields.ifChange;
    if ("upToSeq" in fields) fields.upToSeq = 1;
    return pretty(fields);
  };
  // What was filled in, and not written.
  const given = useRef("");
  const fill = () => {
    given.current = filled(tried);
    setText(given.current);
  };
  useEffect(() => {
    if (!tried.frame && !tried.request) return;
    fill();
    field.current?.focus();
  }, [tried]);

  const attempt = async (work) => {
    setProblem("");
    try {
      await work();
    } catch (error) {
      setProblem(error.message);
    }
  };
  const start = (connecting) =>
    attempt(async () => {
      setPeople([]);
      add(undefined);
      here.current = { conversationId: "", messageId: "" };
      const people = [];
      try {
        await connecting(people);
      } catch (error) {
        people.forEach((person) => person.close());
        throw error;
      }
      if (isClosed.current) return people.forEach((person) => person.close());
      setPeople(people);
      setSender(0);
      // With the ids that exist here.
      if (given.current && field.current?.value === given.current) fill();
    });
  const asTwo = () =>
    start(async (people) => {
      people.push(...PEOPLE.map((name) => new Person(name, heard)));
      const tokens = await Promise.all(PEOPLE.map((name) => devToken(name)));
      // Both are known before one looks for the other.
      await Promise.all(people.map((person, at) => person.connect(service.ws, tokens[at], service.http)));
      const answer = await fetch("/api/conversations/find-or-create", {
        method: "POST",
        headers: { authorization: `Bearer ${tokens[0]}`, "content-type": "application/json" },
        body: JSON.stringify({ otherUserId: PEOPLE[1] }),
      });
      if (!answer.ok) throw new Error(`no conversation of the two: ${answer.status}`);
      here.current.conversationId = (await answer.json()).conversationId;
      for (const person of people) person.send({ action: "join_conversation", conversationId: here.current.conversationId });
    });
  const asOne = (event) => {
    event.preventDefault();
    const fields = new FormData(event.target);
    return start(async (people) => {
      people.push(new Person("you", heard));
      await people[0].connect(fields.get("url").trim(), fields.get("token").trim(), fields.get("api").trim().replace(/\/$/, ""));
    });
  };
  const send = (event) => {
    event?.preventDefault();
    return attempt(async () => {
      const person = people[sender];
      if (!person?.isConnected) throw new Error("connect first");
      if (REQUEST.test(text)) {
        const began = Date.now();
        const { status, body } = await person.request(text);
        return add({ who: person.name, way: "requested", words: `requested ${text.split("\n")[0]}, answered after ${Date.now() - began} ms with ${status}`, frame: body });
      }
      let frame;
      try {
        frame = JSON.parse(text);
      } catch (error) {
        throw new Error(`that is no JSON: ${error.message}`);
      }
      if (frame === null || typeof frame !== "object" || Array.isArray(frame)) throw new Error("a frame is a JSON object, and a request begins with its method and path");
      const sent = person.send(frame);
      add({ who: person.name, way: "sent", frame: sent, id: sent.id });
    });
  };
  const keys = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void send(event);
    if (event.key === "Escape") close();
  };
  const isConnected = people.length > 0;
  // An answer stands with the frame that it answers; what comes unasked stands for itself.
  const answerTo = (entry) => entry.way === "sent" && entries.find((other) => other.way === "got" && other.who === entry.who && other.id === entry.id);
  const isAnswer = (entry) => entry.way === "got" && entry.id && entries.some((other) => other.way === "sent" && other.who === entry.who && other.id === entry.id);
  return html`
    <section class="console" aria-label="Console" onKeyDown=${keys}>
      <header>
        <h2>Console</h2>
        <button class="primary" onClick=${asTwo}>${isConnected ? "Connect anew" : "Connect as two people"}</button>
        <details>
          <summary>With a token</summary>
          <form onSubmit=${asOne}>
            <label>WebSocket URL <input name="url" required value=${service.ws} autocomplete="off" /></label>
            <label>HTTP URL <input name="api" required value=${service.http} autocomplete="off" /></label>
            <label>Token <input name="token" type="password" required autocomplete="off" placeholder="eyJ…" /></label>
            <button>Connect</button>
          </form>
        </details>
        <button class="close" onClick=${close}>Close</button>
      </header>
      <p class="problem" role="alert">${problem}</p>
      <div class="two">
        <form onSubmit=${send}>
          <label for="frame">Frame or request</label>
          <textarea id="frame" ref=${field} rows="9" spellcheck="false" value=${text} onInput=${(event) => setText(event.target.value)} placeholder='{"action": "ping"}' />
          <p>
            ${people.length > 1 &&
            html`<label>as <select value=${sender} onChange=${(event) => setSender(Number(event.target.value))}>${people.map(({ name }, at) => html`<option value=${at}>${name}</option>`)}</select></label>`}
            <button class="primary" disabled=${!isConnected || !text.trim()}>Send</button>
            <span class="quiet">${isConnected ? "or Ctrl+Enter" : "Connect first; then Try fills this."}</span>
          </p>
        </form>
        <ol class="log" aria-label="What was sent and what came" aria-live="polite" tabindex="0">
          ${entries.filter((entry) => !isAnswer(entry)).map((entry) => {
            const answer = answerTo(entry);
            return html`
              <li key=${entry.key}>
                <p><strong>${entry.who}</strong> ${entry.words ?? (entry.way === "sent" ? "sent" : "got")} ${entry.way !== "requested" && html`<code>${entry.frame?.action ?? entry.frame?.type ?? entry.frame?.message}</code>`}</p>
                ${entry.frame && html`<${Code} text=${pretty(entry.frame)} />`}
                ${answer && html`<p>answered after ${answer.at - entry.at} ms with <code>${answer.frame.type}</code></p><${Code} text=${pretty(answer.frame)} />`}
              </li>
            `;
          })}
          ${entries.length === 0 && html`<li class="quiet">Nothing yet.</li>`}
        </ol>
      </div>
    </section>
  `;
}
