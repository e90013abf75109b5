// The page: signs a user in with a development token, and shows their conversations. It reaches the service only
// through the client.

import { html, render, useCallback, useEffect, useLayoutEffect, useReducer, useRef, useState } from "./vendor/preact-htm.js";
import { Switchboard } from "./client/switchboard.js";

/** @param {{id: string, name: string | null, displayName: string | null}} user */
const nameOf = (user) => user.displayName || user.name || user.id;

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** The first letter as a person sees it, which may be several code points. @param {string} name */
const initialOf = (name) => [...graphemes.segment(name)][0]?.segment.toUpperCase() ?? "";

/** The length of a message as the service counts it: in code points. @param {string} text */
const lengthOf = (text) => [...text].length;

/** @param {string} iso */
function timeOf(iso) {
  const at = new Date(iso);
  const today = at.toDateString() === new Date().toDateString();
  return at.toLocaleString([], today ? { timeStyle: "short" } : { dateStyle: "short", timeStyle: "short" });
}

/** The client of this tab. Each tab is a device of its own, and may be of another user. */
function clientFor({ user, name }) {
  const origin = location.origin;
  return new Switchboard({
    url: `${origin.replace(/^http/, "ws")}/v1`,
    api: origin,
    token: async () => {
      const answer = await fetch(`/dev/token?${new URLSearchParams({ user, name })}`);
      if (!answer.ok) throw new Error((await answer.json()).message);
      return (await answer.json()).token;
    },
  });
}

function App() {
  const [person, setPerson] = useState(() => JSON.parse(sessionStorage.getItem("person") ?? "null"));
  const signIn = (person) => {
    sessionStorage.setItem("person", JSON.stringify(person));
    setPerson(person);
  };
  const signOut = () => {
    sessionStorage.clear();
    document.title = "Switchboard";
    setPerson(null);
  };
  return person ? html`<${Chat} key=${person.user} person=${person} signOut=${signOut} />` : html`<${SignIn} signIn=${signIn} />`;
}

function SignIn({ signIn }) {
  const submit = (event) => {
    event.preventDefault();
    const name = new FormData(event.target).get("name").trim();
    if (name) signIn({ user: name.toLowerCase().replace(/\s+/g, "-"), name });
  };
  return html`
    <main class="sign-in">
      <form onSubmit=${submit}>
        <img src="icon.svg" alt="" width="48" height="48" />
        <h1>Switchboard</h1>
        <p>Sign in as anyone. Open a second window as somebody else, and talk to yourself.</p>
        <label for="name">Your name</label>
        <input id="name" name="name" autocomplete="nickname" required autofocus placeholder="Alice" />
        <button class="primary">Sign in</button>
        <p class="aside"><a href="docs/">The protocol and the HTTP API</a></p>
      </form>
    </main>
  `;
}

/** Renders again at each event of the client. */
function useClient(person) {
  const [chat] = useState(() => clientFor(person));
  const [, redraw] = useReducer((count) => count + 1, 0);
  const [typists, setTypists] = useState(() => new Set());
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const kinds = ["state", "conversations", "messages", "outgoing", "presence"];
    const typing = ({ detail: { conversationId, userId, typing } }) =>
      setTypists((before) => {
        const after = new Set(before);
        if (userId !== chat.userId) after[typing ? "add" : "delete"](conversationId);
        return after;
      });
    // The error that the banner adds while there is no connection.
    const complain = ({ detail }) => {
      const unreachable = detail.code === "disconnected" || detail instanceof TypeError;
      setProblem(unreachable ? "" : detail.message);
    };
    const unsent = (event) => chat.outgoing.size > 0 && event.preventDefault();
    for (const kind of kinds) chat.addEventListener(kind, redraw);
    chat.addEventListener("typing", typing);
    chat.addEventListener("problem", complain);
    addEventListener("beforeunload", unsent);
    chat.start();
    return () => {
      removeEventListener("beforeunload", unsent);
      chat.removeEventListener("problem", complain);
      chat.removeEventListener("typing", typing);
      for (const kind of kinds) chat.removeEventListener(kind, redraw);
      chat.stop();
    };
  }, [chat]);
  return { chat, typists, problem };
}

function Chat({ person, signOut }) {
  const { chat, typists, problem } = useClient(person);
  const [selected, select] = useState(() => sessionStorage.getItem("conversation"));
  const choose = useCallback((id) => {
    if (id) sessionStorage.setItem("conversation", id);
    else sessionStorage.removeItem("conversation");
    select(id);
  }, []);
  useEffect(() => {
    document.title = chat.unreadCount ? `(${chat.unreadCount}) Switchboard` : "Switchboard";
  });
  const summary = chat.conversations.find(({ id }) => id === selected);
  const leave = () => {
    const unsent = chat.outgoing.size;
    if (!unsent || confirm(`${unsent} of your messages are not sent yet, and would be lost. Sign out?`)) signOut();
  };
  // On a phone the list is shown again: the focus returns to the entry of the conversation that was open.
  const back = () => {
    choose(null);
    setTimeout(() => document.getElementById(`entry-${selected}`)?.focus());
  };
  return html`
    <${Connection} chat=${chat} problem=${problem} />
    <div class=${`chat ${selected ? "has-selection" : ""}`}>
      <nav class="side" aria-label="Conversations">
        <header class="me">
          <h1>${person.name}</h1>
          <button onClick=${leave}>Sign out</button>
        </header>
        <${NewConversation} chat=${chat} choose=${choose} />
        <${List} chat=${chat} selected=${selected} choose=${choose} typists=${typists} />
      </nav>
      ${selected
        ? html`<${Conversation} key=${selected} chat=${chat} id=${selected} summary=${summary} typing=${typists.has(selected)} back=${back} gone=${() => choose(null)} />`
        : html`<main class="empty"><p>Choose a conversation, or start one with somebody.</p></main>`}
    </div>
  `;
}

/** The banner, and the announcement of the connection to screen readers. Short interruptions get neither. */
function Connection({ chat, problem }) {
  const away = chat.state !== "online";
  const [shown, show] = useState(false);
  useEffect(() => {
    if (!away) return show(false);
    const timer = setTimeout(() => show(true), 600);
    return () => clearTimeout(timer);
  }, [away]);
  return html`
    <div class="connection" role="status">
      ${away &&
      shown &&
      html`<p>
        No connection${problem && ` (${problem})`}. What you write is sent as soon as there is one again.
        <button onClick=${() => chat.retry()}>Try now</button>
      </p>`}
    </div>
  `;
}

function NewConversation({ chat, choose }) {
  const [problem, setProblem] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    const other = new FormData(form).get("other").trim().toLowerCase().replace(/\s+/g, "-");
    if (!other) return;
    try {
      choose(await chat.find(other));
      form.reset();
      setProblem("");
    } catch (error) {
      setProblem(error.code === "not_found" ? `Nobody is called ${other} yet: they have to sign in once.` : error.message);
    }
  };
  return html`
    <form class="new" onSubmit=${submit}>
      <label for="other" class="visually-hidden">Start a conversation with</label>
      <input id="other" name="other" placeholder="Talk to … (a name)" autocomplete="off" aria-describedby="problem" />
      <button>Start</button>
      <p id="problem" role="alert">${problem}</p>
    </form>
  `;
}

function List({ chat, selected, choose, typists }) {
  return html`
    <ul class="list">
      ${chat.conversations.map(
        (summary) => html`
          <li key=${summary.id}>
            <button id=${`entry-${summary.id}`} aria-current=${summary.id === selected ? "true" : undefined} onClick=${() => choose(summary.id)}>
              <${Avatar} user=${summary.otherUser} />
              <span class="name">${nameOf(summary.otherUser)}</span>
              ${summary.lastMessage && html`<time class="when" datetime=${summary.lastMessageAt}>${timeOf(summary.lastMessageAt)}</time>`}
              <span class="last">${typists.has(summary.id) ? html`<em>typing …</em>` : lastWords(summary, chat.userId)}</span>
              ${summary.unreadCount > 0 &&
              html`<span class="badge">${summary.unreadCount}<span class="visually-hidden"> unread</span></span>`}
            </button>
          </li>
        `,
      )}
    </ul>
    ${chat.hasMoreConversations && html`<button class="more" onClick=${() => chat.loadMoreConversations().catch(() => {})}>Older conversations</button>`}
    ${chat.state === "online" && chat.conversations.length === 0 && html`<p class="hint">No conversations yet.</p>`}
  `;
}

function lastWords({ lastMessage }, me) {
  if (!lastMessage) return "";
  return lastMessage.senderId === me ? `You: ${lastMessage.content}` : lastMessage.content;
}

function Avatar({ user }) {
  const online = user.online ? "online" : "offline";
  return html`
    <span class="avatar">
      ${user.avatarUrl
        ? html`<img src=${user.avatarUrl} alt="" referrerpolicy="no-referrer" />`
        : html`<span aria-hidden="true">${initialOf(nameOf(user))}</span>`}
      <span class=${`dot ${online}`}><span class="visually-hidden">${online}</span></span>
    </span>
  `;
}

function Conversation({ chat, id, summary, typing, back, gone }) {
  const [conversation, setConversation] = useState(null);
  const composer = useRef(null);
  useEffect(() => {
    // The conversation does not exist any more, such as after a restart with an empty database.
    chat.open(id).then(setConversation, gone);
    composer.current?.focus();
    return () => void chat.close(id).catch(() => {});
  }, [id]);
  // Messages on the screen count as read while the page has the focus.
  const unread = summary?.unreadCount ?? 0;
  useEffect(() => {
    const read = () => document.hasFocus() && chat.markRead(id).catch(() => {});
    read();
    addEventListener("focus", read);
    return () => removeEventListener("focus", read);
  }, [id, unread, chat.state]);
  const other = summary?.otherUser;
  return html`
    <main class="conversation">
      <header>
        <button class="back" onClick=${back} aria-label="Back to the conversations">‹</button>
        ${other && html`<${Avatar} user=${other} />`}
        <div>
          <h2>${other ? nameOf(other) : "…"}</h2>
          <p class="presence">${other && presenceOf(other)}</p>
        </div>
      </header>
      <${Messages} chat=${chat} id=${id} conversation=${conversation} />
      <p class="typing" aria-live="polite">${typing && other ? `${nameOf(other)} is typing …` : ""}</p>
      <${Composer} chat=${chat} id=${id} field=${composer} />
    </main>
  `;
}

function presenceOf({ online, lastSeenAt }) {
  if (online) return "online";
  return lastSeenAt ? `last seen ${timeOf(lastSeenAt)}` : "offline";
}

function Messages({ chat, id, conversation }) {
  const list = useRef(null);
  const place = useRef({ atEnd: true, height: 0, oldest: "" });
  const sentHere = useRef(0);
  const [loading, setLoading] = useState(false);
  const messages = conversation?.messages ?? [];
  const outgoing = [...chat.outgoing.values()].filter((one) => one.conversationId === id);
  const oldest = messages[0]?.id ?? "";

  // Keep the newest messages in sight if they are, show one's own, and keep the position when older ones are put before.
  useLayoutEffect(() => {
    const { current: box } = list;
    if (outgoing.length > sentHere.current) place.current.atEnd = true;
    sentHere.current = outgoing.length;
    const { atEnd, height, oldest: before } = place.current;
    if (atEnd) box.scrollTop = box.scrollHeight;
    else if (before && before !== oldest) box.scrollTop += box.scrollHeight - height;
    place.current = { atEnd, height: box.scrollHeight, oldest };
  });
  // An on-screen keyboard takes room from below.
  useEffect(() => {
    const { current: box } = list;
    const observer = new ResizeObserver(() => place.current.atEnd && (box.scrollTop = box.scrollHeight));
    observer.observe(box);
    return () => observer.disconnect();
  }, []);
  const older = async () => {
    if (loading || !conversation?.hasMore) return;
    setLoading(true);
    await chat.loadOlder(id).catch(() => {});
    setLoading(false);
  };
  const scrolled = () => {
    const { current: box } = list;
    place.current.atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    if (box.scrollTop < 200) older();
  };
  return html`
    <div class="messages" role="log" aria-label="Messages" aria-live=${loading ? "off" : "polite"} tabindex="0" ref=${list} onScroll=${scrolled}>
      ${conversation?.hasMore && messages.length > 0 && html`<button class="more" onClick=${older} disabled=${loading}>Older messages</button>`}
      ${messages.map((message, at) => html`<${Message} key=${message.clientMessageId ?? message.id} message=${message} mine=${message.senderId === chat.userId} before=${messages[at - 1]} />`)}
      ${outgoing.map((one) => html`<${Outgoing} key=${one.clientMessageId} chat=${chat} one=${one} />`)}
      ${conversation?.loaded && messages.length + outgoing.length === 0 && html`<p class="hint">Nothing has been said yet.</p>`}
    </div>
  `;
}

function Message({ message, mine, before }) {
  const day = new Date(message.createdAt).toDateString();
  const newDay = !before || new Date(before.createdAt).toDateString() !== day;
  const state = message.readAt ? "read" : "sent";
  return html`
    ${newDay && html`<p class="day">${new Date(message.createdAt).toLocaleDateString([], { dateStyle: "full" })}</p>`}
    <article class=${mine ? "message mine" : "message"} data-seq=${message.seq}>
      <span class="visually-hidden">${mine ? "You" : nameOf(message.sender)}: </span>
      <p>${message.content}</p>
      <footer>
        <time datetime=${message.createdAt}>${new Date(message.createdAt).toLocaleTimeString([], { timeStyle: "short" })}</time>
        ${mine && html`<span class=${`mark ${state}`} title=${state}><span aria-hidden="true">${message.readAt ? "✓✓" : "✓"}</span><span class="visually-hidden">${state}</span></span>`}
      </footer>
    </article>
  `;
}

function Outgoing({ chat, one }) {
  return html`
    <article class=${`message mine ${one.state}`}>
      <p>${one.content}</p>
      <footer>
        ${one.state === "pending"
          ? html`<span>sending …</span>`
          : html`<span role="alert">not sent: ${one.error?.message}</span>
              <button onClick=${() => chat.resend(one.clientMessageId)}>Try again</button>
              <button onClick=${() => chat.discard(one.clientMessageId)}>Discard</button>`}
      </footer>
    </article>
  `;
}

/** The service's limit of a message's length, in characters, and the length from which on a counter is shown. */
const LONGEST = 2000;
const COUNTED_FROM = 1800;

/** Drafts, by conversation. */
const drafts = new Map();

function Composer({ chat, id, field }) {
  const [text, setText] = useState(drafts.get(id) ?? "");
  useEffect(() => void drafts.set(id, text), [text]);
  const length = lengthOf(text);
  const send = (event) => {
    event.preventDefault();
    if (!text.trim() || length > LONGEST) return;
    // The result is shown beside the message.
    chat.send(id, text).catch(() => {});
    setText("");
    field.current.focus();
  };
  const key = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event);
  };
  const input = (event) => {
    setText(event.target.value);
    if (event.target.value) chat.typing(id);
    else chat.stopTyping(id);
  };
  return html`
    <form class="composer" onSubmit=${send}>
      <label for="text" class="visually-hidden">Message</label>
      <textarea id="text" ref=${field} rows="1" aria-describedby="count" aria-invalid=${length > LONGEST} placeholder="Write a message" value=${text} onInput=${input} onKeyDown=${key} onBlur=${() => chat.stopTyping(id)} />
      <span id="count" class="count" role="status">${length > COUNTED_FROM && `${length} of ${LONGEST}`}</span>
      <button class="primary" disabled=${!text.trim() || length > LONGEST}>Send</button>
    </form>
  `;
}

render(html`<${App} />`, document.body);
