// The page: signs a user in with a development token, and shows their conversations. It reaches the service only
// through the client.

import { html, render, useCallback, useEffect, useLayoutEffect, useReducer, useRef, useState } from "./vendor/preact-htm.js";
import { createSwitchboard } from "./client/switchboard.js";

/** @param {{id: string, name: string | null, displayName: string | null}} user */
const nameOf = (user) => user.displayName || user.name || user.id;

/** The name of a conversation. @param {import("./client/switchboard.js").Summary} summary */
const titleOf = ({ title, otherUser }) => title ?? nameOf(otherUser);

/** The id of the user with this name: development tokens are made from it. @param {string} name */
const idOf = (name) => name.trim().toLowerCase().replace(/\s+/g, "-");

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** The first letter as a person sees it, which may be several code points. @param {string} name */
const initialOf = (name) => [...graphemes.segment(name)][0]?.segment.toUpperCase() ?? "";

/** The length of a message as the service counts it: in code points. @param {string} text */
const lengthOf = (text) => [...text].length;

// Made once: to make one takes longer than to render a message.
const clock = new Intl.DateTimeFormat([], { timeStyle: "short" });
const dateAndClock = new Intl.DateTimeFormat([], { dateStyle: "short", timeStyle: "short" });
const fullDate = new Intl.DateTimeFormat([], { dateStyle: "full" });

/** @param {string} iso */
function timeOf(iso) {
  const at = new Date(iso);
  const today = at.toDateString() === new Date().toDateString();
  return (today ? clock : dateAndClock).format(at);
}

/** The client of this tab. Each tab is a device of its own, and may be of another user. */
function clientFor({ user, name }) {
  return createSwitchboard({
    url: `${location.origin.replace(/^http/, "ws")}/v1`,
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
    if (name) signIn({ user: idOf(name), name });
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
  // The ids of those who type, by conversation.
  const [typists, setTypists] = useState(() => new Map());
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const typing = ({ conversationId, userId, typing }) =>
      setTypists((before) => {
        const others = (before.get(conversationId) ?? []).filter((id) => id !== userId);
        if (typing && userId !== chat.userId) others.push(userId);
        const after = new Map(before);
        if (others.length > 0) after.set(conversationId, others);
        else after.delete(conversationId);
        return after;
      });
    // The error that the banner adds while there is no connection.
    const complain = ({ code, message }) => setProblem(code === "disconnected" || code === "token_unavailable" ? "" : message);
    const unsent = (event) => chat.unsentCount > 0 && event.preventDefault();
    const offs = ["connection", "conversations", "outgoing", "presence"].map((kind) => chat.on(kind, redraw));
    offs.push(chat.on("typing", typing), chat.on("problem", complain));
    addEventListener("beforeunload", unsent);
    chat.start();
    return () => {
      removeEventListener("beforeunload", unsent);
      for (const off of offs) off();
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
  // Who leaves a group or is removed from it is back at the list.
  useEffect(() => {
    return chat.on("gone", (conversationId) => conversationId === selected && choose(null));
  }, [selected]);
  const leave = () => {
    const unsent = chat.unsentCount;
    if (!unsent || confirm(`${unsent} of your messages and changes are not stored yet, and would be lost. Sign out?`)) signOut();
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
        <${NewGroup} chat=${chat} choose=${choose} />
        <${List} chat=${chat} selected=${selected} choose=${choose} typists=${typists} />
      </nav>
      ${selected
        ? html`<${Conversation} key=${selected} chat=${chat} id=${selected} summary=${summary} typing=${typists.get(selected) ?? []} back=${back} gone=${() => choose(null)} />`
        : html`<main class="empty"><p>Choose a conversation, or start one with somebody.</p></main>`}
    </div>
  `;
}

/** The banner, and the announcement of the connection to screen readers. Short interruptions get neither. */
function Connection({ chat, problem }) {
  const away = chat.connection.state !== "online";
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
        <button onClick=${() => (chat.connection.state === "failed" ? chat.start() : chat.retry())}>Try now</button>
      </p>`}
    </div>
  `;
}

function NewConversation({ chat, choose }) {
  const [problem, setProblem] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    const other = idOf(new FormData(form).get("other"));
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

function NewGroup({ chat, choose }) {
  const [problem, setProblem] = useState("");
  const details = useRef(null);
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    const fields = new FormData(form);
    const participantIds = idsOf(fields.get("people"));
    try {
      choose(await chat.createGroup({ title: fields.get("title").trim(), participantIds }));
      form.reset();
      setProblem("");
      details.current.open = false;
    } catch (error) {
      setProblem(wordsOf(error));
    }
  };
  return html`
    <details class="new-group" ref=${details}>
      <summary>New group</summary>
      <form onSubmit=${submit}>
        <label for="title">Name of the group</label>
        <input id="title" name="title" required maxlength="200" autocomplete="off" placeholder="Holidays" />
        <label for="people">People, with commas between</label>
        <input id="people" name="people" autocomplete="off" placeholder="Bob, Carol" aria-describedby="group-problem" />
        <p id="group-problem" role="alert">${problem}</p>
        <button class="primary">Make the group</button>
      </form>
    </details>
  `;
}

/** The ids of people whose names have commas between them. @param {string} names */
function idsOf(names) {
  return names.split(",").map(idOf).filter(Boolean);
}

/** What a person reads of an error. */
function wordsOf(error) {
  const unknown = error.code === "not_found" && /there is no user (.*)/.exec(error.message);
  if (unknown) return `Nobody is called ${unknown[1]} yet: they have to sign in once.`;
  if (error.code === "disconnected") return "There is no connection. Try again in a moment.";
  // Without the name of the field.
  return error.message.replace(/^\w+: /, "");
}

function List({ chat, selected, choose, typists }) {
  return html`
    <ul class="list">
      ${chat.conversations.map(
        (summary) => html`
          <li key=${summary.id}>
            <button id=${`entry-${summary.id}`} aria-current=${summary.id === selected ? "true" : undefined} onClick=${() => choose(summary.id)}>
              <${Avatar} of=${summary} />
              <span class="name" dir="auto">${titleOf(summary)}</span>
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
    ${chat.connection.state === "online" && chat.conversations.length === 0 && html`<p class="hint">No conversations yet.</p>`}
  `;
}

const DELETED = "This message was deleted.";

function lastWords({ kind, lastMessage }, me) {
  if (!lastMessage) return "";
  if (lastMessage.deletedAt) return html`<em>${DELETED}</em>`;
  if (lastMessage.senderId === me) return `You: ${lastMessage.content}`;
  return kind === "group" ? `${nameOf(lastMessage.sender)}: ${lastMessage.content}` : lastMessage.content;
}

/** The avatar of a conversation. */
function Avatar({ of: { title, avatarUrl, otherUser } }) {
  if (otherUser) return html`<${Face} user=${otherUser} online=${otherUser.online} />`;
  return html`<span class="avatar group">${picture(avatarUrl, title)}</span>`;
}

/** The avatar of a person. */
function Face({ user, online }) {
  const state = online ? "online" : "offline";
  return html`
    <span class="avatar">
      ${picture(user.avatarUrl, nameOf(user))}
      <span class=${`dot ${state}`}><span class="visually-hidden">${state}</span></span>
    </span>
  `;
}

function picture(url, name) {
  return url
    ? html`<img src=${url} alt="" referrerpolicy="no-referrer" />`
    : html`<span aria-hidden="true">${initialOf(name)}</span>`;
}

/** The conversation that is open, once it is complete; renders again whenever it has changed. */
function useRoom(chat, id, gone) {
  const [room, setRoom] = useState(null);
  const [, redraw] = useReducer((count) => count + 1, 0);
  useEffect(() => {
    const leaving = new AbortController();
    const { signal } = leaving;
    let close = () => {};
    const opened = (room) => {
      const off = room.subscribe(redraw);
      close = () => (off(), room.release());
      if (signal.aborted) close();
      else setRoom(room);
    };
    // The conversation does not exist any more, such as after a restart with an empty database.
    chat.conversation(id, { signal }).then(opened, () => signal.aborted || gone());
    return () => (leaving.abort(), close());
  }, [id]);
  return room;
}

function Conversation({ chat, id, summary, typing, back, gone }) {
  const room = useRoom(chat, id, gone);
  const composer = useRef(null);
  useEffect(() => composer.current?.focus(), [id]);
  // Messages on the screen count as read while the page has the focus.
  const unread = summary?.unreadCount ?? 0;
  useEffect(() => {
    const read = () => document.hasFocus() && room?.markRead().catch(() => {});
    read();
    addEventListener("focus", read);
    return () => removeEventListener("focus", read);
  }, [room, unread, chat.connection.state]);
  const isGroup = summary?.kind === "group";
  const [showsPeople, showPeople] = useState(false);
  // What is written in the composer, and why a change of a message was refused.
  const [draft, setDraft] = useState(() => drafts.get(id) ?? NO_DRAFT);
  useEffect(() => void drafts.set(id, draft), [draft]);
  const [problem, setProblem] = useState("");
  /** Answers a message, or edits it; what was written before waits for the end of that. */
  const begin = (action, message, text) => {
    const written = draft.action === "edit" ? (draft.waiting ?? NO_DRAFT) : draft;
    if (action === "edit") setDraft({ action, message, text: text ?? message.content, waiting: written });
    else setDraft({ ...NO_DRAFT, action, message, text: written.text });
    composer.current?.focus();
  };
  /** Shows why a change is refused. What was written is there again. */
  const attempt = (change, { message, text } = {}) => {
    setProblem("");
    change.catch((error) => {
      setProblem(wordsOf(error));
      const now = message && room?.find(message.id);
      if (now && !now.deletedAt) begin("edit", now, text);
      else if (text) setDraft((before) => (before.text ? before : { ...NO_DRAFT, text }));
    });
  };
  const nameById = (userId) => {
    const message = room?.snapshot.messages.findLast(({ senderId }) => senderId === userId);
    return message ? nameOf(message.sender) : summary?.otherUser?.id === userId ? nameOf(summary.otherUser) : userId;
  };
  return html`
    <main class=${`conversation ${isGroup && showsPeople ? "has-people" : ""}`}>
      <header>
        <button class="back" onClick=${back} aria-label="Back to the conversations">‹</button>
        ${summary && html`<${Avatar} of=${summary} />`}
        <div>
          <h2 dir="auto">${summary ? titleOf(summary) : "…"}</h2>
          <p class="presence">${summary && (isGroup ? peopleOf(summary) : presenceOf(summary.otherUser))}</p>
        </div>
        ${isGroup && html`<button class="people-toggle" aria-expanded=${showsPeople} onClick=${() => showPeople(!showsPeople)}>People</button>`}
      </header>
      <${Messages} chat=${chat} id=${id} room=${room} summary=${summary} nameById=${nameById} begin=${begin} attempt=${attempt} />
      <p class="typing" aria-live="polite">${typingOf(typing.map(nameById))}</p>
      <p class="refusal" role="alert">${problem}</p>
      <${Composer} chat=${chat} id=${id} field=${composer} room=${room} draft=${draft} setDraft=${setDraft} begin=${begin} attempt=${attempt} />
      ${room && isGroup && showsPeople && html`<${People} chat=${chat} room=${room} summary=${summary} close=${() => showPeople(false)} />`}
    </main>
  `;
}

function peopleOf({ participantCount }) {
  return participantCount === 1 ? "only you" : `${participantCount} people`;
}

/** Who types, by their names. @param {string[]} names */
function typingOf(names) {
  if (names.length === 0) return "";
  if (names.length > 2) return `${names.length} people are typing …`;
  return names.length === 1 ? `${names[0]} is typing …` : `${names[0]} and ${names[1]} are typing …`;
}

function presenceOf({ online, lastSeenAt }) {
  if (online) return "online";
  return lastSeenAt ? `last seen ${timeOf(lastSeenAt)}` : "offline";
}

/** The height of a row in the list of people, in pixels; as in the style sheet. */
const ROW = 56;
/** How many rows beyond those in sight are there already, so that scrolling shows no gap. */
const SPARE_ROWS = 10;

/** The people of a group, of whom there may be a thousand: the list has only the rows that are in sight. */
function People({ chat, room, summary, close }) {
  const { id, role, participantCount } = summary;
  const isOwner = role === "owner";
  const [people, setPeople] = useState([]);
  const [cursor, setCursor] = useState(/** @type {string | null | undefined} */ (undefined));
  const [problem, setProblem] = useState("");
  const [sight, setSight] = useState({ top: 0, height: 600 });
  const list = useRef(null);
  // The cursor of the page that is being fetched; another one starts anew.
  const asked = useRef(/** @type {string | undefined} */ (undefined));
  const round = useRef(0);

  const load = async (from) => {
    if (from && asked.current === from) return;
    asked.current = from;
    const mine = from ? round.current : ++round.current;
    try {
      const page = await room.participants({ cursor: from });
      if (mine !== round.current) return;
      setPeople((before) => (from ? [...before, ...page.participants] : page.participants));
      setCursor(page.nextCursor);
    } catch (error) {
      asked.current = undefined;
      setProblem(wordsOf(error));
    }
  };
  useEffect(() => void (chat.connection.state === "online" && load(undefined)), [id, summary.lastChange, chat.connection.state]);
  useEffect(() => {
    return chat.on("presence", ({ userId, online, lastSeenAt }) =>
      setPeople((before) => before.map((one) => (one.user.id === userId ? { ...one, online, lastSeenAt: lastSeenAt ?? one.lastSeenAt } : one))),
    );
  }, []);
  useEffect(() => {
    const { current: box } = list;
    const look = () => setSight({ top: box.scrollTop, height: box.clientHeight });
    const observer = new ResizeObserver(look);
    observer.observe(box);
    box.addEventListener("scroll", look);
    return () => (observer.disconnect(), box.removeEventListener("scroll", look));
  }, []);
  const first = Math.max(0, Math.floor(sight.top / ROW) - SPARE_ROWS);
  const last = Math.ceil((sight.top + sight.height) / ROW) + SPARE_ROWS;
  useEffect(() => {
    if (cursor && last >= people.length) void load(cursor);
  }, [cursor, last, people]);

  /** Does something, and shows why it cannot be done. */
  const attempt = async (work) => {
    setProblem("");
    try {
      await work();
    } catch (error) {
      setProblem(wordsOf(error));
    }
  };
  const submit = (work) => (event) => {
    event.preventDefault();
    const form = event.target;
    void attempt(async () => {
      await work(new FormData(form));
      form.reset();
    });
  };
  const add = submit((fields) => room.add(idsOf(fields.get("names"))));
  const rename = submit((fields) => room.change({ title: fields.get("name").trim() }));
  const leave = () => confirm("Leave this group?") && attempt(() => room.leave());
  return html`
    <aside class="people" aria-label="People">
      <header>
        <h3>${peopleOf(summary)}</h3>
        <button onClick=${close} aria-label="Close the list of people">✕</button>
      </header>
      ${isOwner &&
      html`
        <form onSubmit=${rename}>
          <label for="group-name" class="visually-hidden">New name of the group</label>
          <input id="group-name" name="name" required maxlength="200" autocomplete="off" placeholder="Another name" />
          <button>Rename</button>
        </form>
        <form onSubmit=${add}>
          <label for="names" class="visually-hidden">People to add, with commas between</label>
          <input id="names" name="names" required autocomplete="off" placeholder="Add people" />
          <button>Add</button>
        </form>
      `}
      <p class="problem" role="alert">${problem}</p>
      <ul ref=${list} style=${`--rows: ${Math.max(participantCount, people.length)}`} tabindex="0" aria-label="Participants">
        ${people.slice(first, last).map((one, at) => html`<${Person} key=${one.user.id} one=${one} at=${first + at} chat=${chat} room=${room} isOwner=${isOwner} count=${participantCount} attempt=${attempt} />`)}
        <li class="room" aria-hidden="true"></li>
      </ul>
      <button class="leave" onClick=${leave}>Leave the group</button>
    </aside>
  `;
}

function Person({ one, at, chat, room, isOwner, count, attempt }) {
  const { user, role } = one;
  const isMe = user.id === chat.userId;
  const other = role === "owner" ? "member" : "owner";
  return html`
    <li class="person" style=${`top: ${at * ROW}px`} aria-setsize=${count} aria-posinset=${at + 1}>
      <${Face} user=${user} online=${isMe || one.online} />
      <span class="who" dir="auto" title=${nameOf(user)}>${nameOf(user)}${isMe && " (you)"}<small>${role === "owner" ? "owner" : ""}</small></span>
      ${isOwner &&
      !isMe &&
      html`
        <button onClick=${() => attempt(() => room.setRole(user.id, other))} aria-label=${`Make ${nameOf(user)} ${role === "owner" ? "a member" : "an owner"}`} title=${`Make ${other}`}>${role === "owner" ? "☆" : "★"}</button>
        <button onClick=${() => attempt(() => room.remove(user.id))} aria-label=${`Remove ${nameOf(user)}`} title="Remove">✕</button>
      `}
    </li>
  `;
}

function Messages({ chat, id, room, summary, nameById, begin, attempt }) {
  const list = useRef(null);
  const place = useRef({ atEnd: true, height: 0, oldest: "" });
  const sentHere = useRef(0);
  const [loading, setLoading] = useState(false);
  // The message that a reply has led to, in an object of its own each time.
  const [found, setFound] = useState({ id: "" });
  const messages = room?.snapshot.messages ?? [];
  const outgoing = chat.outgoing.filter((one) => one.conversationId === id);
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
    if (loading || !room?.snapshot.hasOlder) return;
    setLoading(true);
    await room.older().catch(() => {});
    setLoading(false);
  };
  const scrolled = () => {
    const { current: box } = list;
    place.current.atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    if (box.scrollTop < 200) older();
  };
  const show = (messageId) => {
    const article = list.current.querySelector(`[data-id="${CSS.escape(messageId)}"]`);
    place.current.atEnd = false;
    article?.scrollIntoView({ block: "center" });
    article?.focus({ preventScroll: true });
  };
  /** Goes to the message that another one answers, and fetches what is between. */
  const jump = async (messageId) => {
    const isHere = () => room.snapshot.messages.some((message) => message.id === messageId);
    setLoading(true);
    try {
      for (let before; !isHere() && room.snapshot.hasOlder && before !== room.snapshot.messages[0]?.id; ) {
        before = room.snapshot.messages[0]?.id;
        await room.older(100);
      }
      if (isHere()) setFound({ id: messageId });
    } catch {
      // There is no connection, which the banner tells.
    }
    setLoading(false);
  };
  // The message has to be rendered before it can be shown.
  useEffect(() => {
    if (!found.id) return;
    show(found.id);
    const timer = setTimeout(() => setFound({ id: "" }), 2000);
    return () => clearTimeout(timer);
  }, [found]);
  /** The arrow keys go from message to message; the actions of each are then the next stop of the tab key. */
  const keys = (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.target.closest(".actions")) return;
    const articles = [...list.current.querySelectorAll("article[data-id]")];
    const at = articles.indexOf(event.target.closest("article"));
    const next = at === -1 ? articles.at(-1) : articles[at + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  };
  const isGroup = summary?.kind === "group";
  return html`
    <div class="messages" role="log" aria-label="Messages" aria-live=${loading ? "off" : "polite"} tabindex="0" ref=${list} onScroll=${scrolled} onKeyDown=${keys}>
      ${room?.snapshot.hasOlder && messages.length > 0 && html`<button class="more" onClick=${older} disabled=${loading}>Older messages</button>`}
      ${messages.map(
        (message, at) => html`
          <${Message}
            key=${message.senderId === chat.userId ? (message.clientMessageId ?? message.id) : message.id}
            chat=${chat} room=${room} message=${message} before=${messages[at - 1]} isGroup=${isGroup}
            isOwner=${isGroup && summary.role === "owner"} isFound=${found.id === message.id}
            jump=${jump} nameById=${nameById} begin=${begin} attempt=${attempt}
          />
        `,
      )}
      ${outgoing.map((one) => html`<${Outgoing} key=${one.clientMessageId} one=${one} room=${room} jump=${jump} />`)}
      ${room && messages.length + outgoing.length === 0 && html`<p class="hint">Nothing has been said yet.</p>`}
    </div>
  `;
}

/** What looks like a link. No invisible character is part of one: it could show another address than it leads to. */
const LINK = /https?:\/\/[^\s<>"\p{Cf}]+/giu;
const BRACKETS = { ")": "(", "]": "[", "}": "{" };

/** Without what ends a sentence, and without a bracket that was opened before the link. @param {string} found */
function linkOf(found) {
  const counts = new Map();
  for (const character of found) counts.set(character, (counts.get(character) ?? 0) + 1);
  let end = found.length;
  for (; end > 0; end--) {
    const last = found[end - 1];
    const opens = BRACKETS[last];
    if (opens ? (counts.get(opens) ?? 0) >= counts.get(last) : !".,;:!?'\"".includes(last)) break;
    counts.set(last, counts.get(last) - 1);
  }
  return found.slice(0, end);
}

/** What a message says, with its links, which are followed in a window that knows nothing of this one. @param {string} text */
function withLinks(text) {
  const parts = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(LINK)) {
    const link = linkOf(found);
    // A name before the host makes an address look like another one.
    if (!URL.canParse(link) || new URL(link).username) continue;
    parts.push(text.slice(end, index), html`<a href=${link} target="_blank" rel="noopener noreferrer"><bdi>${link}</bdi></a>`);
    end = index + link.length;
  }
  return [...parts, text.slice(end)];
}

function Message({ chat, room, message, before, isGroup, isOwner, isFound, jump, nameById, begin, attempt }) {
  // The actions are there while the message has the pointer or the focus.
  const [has, setHas] = useState({ pointer: false, focus: false });
  const own = useRef(null);
  const mine = message.senderId === chat.userId;
  const at = new Date(message.createdAt);
  const newDay = !before || new Date(before.createdAt).toDateString() !== at.toDateString();
  const state = message.readAt ? "read" : "sent";
  const named = isGroup && !mine && (newDay || before.senderId !== message.senderId);
  const classes = ["message", mine && "mine", message.deletedAt && "deleted", isFound && "found"].filter(Boolean).join(" ");
  // What is clicked may go away: the message keeps the focus.
  const keepFocus = () => own.current.contains(document.activeElement) && own.current.focus({ preventScroll: true });
  const toggle = ({ reaction, count, userIds }) => {
    keepFocus();
    attempt(userIds.includes(chat.userId) ? room.unreact(message, reaction) : reactOrTakeBack(room, message, reaction, count > userIds.length));
  };
  const remove = () => {
    if (!confirm("Delete this message for everybody?")) return;
    keepFocus();
    attempt(room.delete(message));
  };
  const enter = (way) => () => has[way] || setHas((before) => ({ ...before, [way]: true }));
  const leave = (way) => (event) => {
    if (!own.current.contains(event.relatedTarget)) setHas((before) => ({ ...before, [way]: false }));
  };
  return html`
    ${newDay && html`<p class="day">${fullDate.format(at)}</p>`}
    <article
      class=${classes} data-seq=${message.seq} data-id=${message.id} tabindex="-1" ref=${own}
      onMouseMove=${enter("pointer")} onMouseLeave=${leave("pointer")} onfocusin=${enter("focus")} onfocusout=${leave("focus")}
    >
      <span class=${named ? "sender" : "visually-hidden"} dir="auto">${mine ? "You" : nameOf(message.sender)}<span class="visually-hidden">: </span></span>
      ${message.replyTo && !message.deletedAt && html`<${Quote} room=${room} id=${message.replyTo} jump=${jump} />`}
      <p dir="auto">${message.deletedAt ? DELETED : withLinks(message.content)}</p>
      <footer>
        ${room.isPending(message.id) && html`<span>saving …</span>`}
        ${message.editedAt && !message.deletedAt && html`<span class="edited">edited <time datetime=${message.editedAt}>${timeOf(message.editedAt)}</time>, sent</span>`}
        <time datetime=${message.createdAt}>${clock.format(at)}</time>
        ${mine && html`<span class=${`mark ${state}`} title=${state}><span aria-hidden="true">${message.readAt ? "✓✓" : "✓"}</span><span class="visually-hidden">${state}</span></span>`}
        <button class="visually-hidden" tabindex="-1" onClick=${() => own.current.focus()}>Actions</button>
      </footer>
      ${message.reactions.length > 0 && html`<${Reactions} reactions=${message.reactions} me=${chat.userId} nameById=${nameById} toggle=${toggle} />`}
      ${(has.pointer || has.focus) && html`<${Actions} chat=${chat} message=${message} mine=${mine} isOwner=${isOwner} begin=${begin} toggle=${toggle} remove=${remove} />`}
    </article>
  `;
}

/**
 * Gives a reaction. Of more than ten users the service names the first ten: if this user has given it already, nothing changes,
 * and what they want is to take it back.
 */
async function reactOrTakeBack(room, message, reaction, mayBeGiven) {
  const after = await room.react(message, reaction);
  if (mayBeGiven && after.change === message.change) await room.unreact(message, reaction);
}

/** The longest quote that is read out. */
const READ_OUT = 100;

/** The message that another one answers, in a line that leads to it. */
function Quote({ room, id, jump }) {
  const quoted = room?.find(id);
  useEffect(() => {
    if (room && quoted === undefined) room.quote(id).catch(() => {});
  }, [room, quoted]);
  // From before this user took part.
  if (quoted === null) return html`<p class="quote">An earlier message</p>`;
  const words = quoted ? (quoted.deletedAt ? DELETED : quoted.content) : "…";
  const name = quoted ? nameOf(quoted.sender) : "";
  return html`
    <button class="quote" onClick=${() => jump(id)} aria-label=${`Answers ${name}: ${[...words].slice(0, READ_OUT).join("")}. Go to that message.`}>
      ${quoted && html`<strong dir="auto">${name}</strong>`}
      <span dir="auto">${words}</span>
    </button>
  `;
}

function Reactions({ reactions, me, nameById, toggle }) {
  return html`
    <ul class="reactions" aria-label="Reactions">
      ${reactions.map((one) => {
        const { reaction, count, userIds } = one;
        const given = userIds.includes(me);
        const names = userIds.map((id) => (id === me ? "you" : nameById(id))).join(", ");
        const others = count > userIds.length ? ` and ${count - userIds.length} others` : "";
        return html`
          <li key=${reaction}>
            <button aria-pressed=${given} title=${names + others} onClick=${() => toggle(one)}>
              <span dir="auto">${reaction}</span> ${count}<span class="visually-hidden"> by ${names + others}</span>
            </button>
          </li>
        `;
      })}
    </ul>
  `;
}

/** The reactions to choose from, with their names for those who do not see them. */
const REACTIONS = [
  ["👍", "thumbs up"],
  ["❤️", "heart"],
  ["😂", "laughing"],
  ["🎉", "party"],
  ["😮", "surprised"],
  ["😢", "sad"],
  ["🙏", "thank you"],
  ["👀", "looking"],
];

function Actions({ chat, message, mine, isOwner, begin, toggle, remove }) {
  const [picks, pick] = useState(false);
  const opener = useRef(null);
  const picker = useRef(null);
  useLayoutEffect(() => {
    if (picks) picker.current.querySelector("button").focus();
  }, [picks]);
  const close = () => {
    pick(false);
    opener.current?.focus();
  };
  const keys = (event) => {
    if (event.key === "Escape" && picks) return event.stopPropagation(), close();
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const buttons = [...event.currentTarget.querySelectorAll(picks ? ".picker button" : "button")];
    const at = buttons.indexOf(event.target);
    if (step && at !== -1) buttons[(at + step + buttons.length) % buttons.length].focus();
  };
  const choose = (reaction) => {
    toggle(message.reactions.find((one) => one.reaction === reaction) ?? { reaction, count: 0, userIds: [] });
    close();
  };
  return html`
    <div class="actions" role="toolbar" aria-label="Actions" aria-live="off" onKeyDown=${keys}>
      ${!message.deletedAt && html`<button ref=${opener} aria-expanded=${picks} aria-label="React" title="React" onClick=${() => pick(!picks)}>☺</button>`}
      <button aria-label="Reply" title="Reply" onClick=${() => begin("reply", message)}>↩</button>
      ${mine && !message.deletedAt && html`<button aria-label="Edit" title="Edit" onClick=${() => begin("edit", message)}>✎</button>`}
      ${(mine || isOwner) && !message.deletedAt && html`<button aria-label="Delete" title="Delete" onClick=${remove}>✕</button>`}
      ${picks &&
      html`
        <div class="picker" role="group" aria-label="Choose a reaction" ref=${picker}>
          ${REACTIONS.map(([reaction, name]) => html`<button key=${reaction} aria-label=${name} title=${name} onClick=${() => choose(reaction)}>${reaction}</button>`)}
        </div>
      `}
    </div>
  `;
}

function Outgoing({ one, room, jump }) {
  return html`
    <article class=${`message mine ${one.state}`}>
      ${one.replyTo && html`<${Quote} room=${room} id=${one.replyTo} jump=${jump} />`}
      <p dir="auto">${one.content}</p>
      <footer>
        ${one.state === "pending"
          ? html`<span>sending …</span>`
          : html`<span role="alert">not sent: ${one.error?.message}</span>
              <button onClick=${() => room?.resend(one.clientMessageId)}>Try again</button>
              <button onClick=${() => room?.discard(one.clientMessageId)}>Discard</button>`}
      </footer>
    </article>
  `;
}

/** The service's limit of a message's length, in characters, and the length from which on a counter is shown. */
const LONGEST = 2000;
const COUNTED_FROM = 1800;

/** A draft: a text, and the message that it answers or edits; then `waiting` is what was written before. */
const NO_DRAFT = { action: "", message: undefined, text: "", waiting: undefined };
/** Drafts, by conversation. */
const drafts = new Map();

function Composer({ chat, id, field, room, draft, setDraft, begin, attempt }) {
  const { action, message, text } = draft;
  const edits = action === "edit";
  const length = lengthOf(text);
  /** Ends an answer, whose text stays, or an edit. */
  const leave = () => setDraft(edits ? (draft.waiting ?? NO_DRAFT) : { ...NO_DRAFT, text });
  const send = (event) => {
    event.preventDefault();
    if (!text.trim() || length > LONGEST) return;
    if (edits) {
      leave();
      if (text !== message.content) attempt(room.edit(message, text), { message, text });
    } else {
      // The result is shown beside the message.
      chat.send(id, text, { replyTo: message?.id }).catch(() => {});
      setDraft(NO_DRAFT);
    }
    field.current.focus();
  };
  const key = (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) send(event);
    if (event.key === "Escape" && action) leave();
    if (event.key !== "ArrowUp" || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || text || action) return;
    const own = room?.snapshot.messages.findLast(({ senderId, deletedAt }) => senderId === chat.userId && !deletedAt);
    if (!own) return;
    event.preventDefault();
    begin("edit", own);
  };
  const input = (event) => {
    setDraft({ ...draft, text: event.target.value });
    if (edits) return;
    if (event.target.value) room?.typing();
    else room?.stopTyping();
  };
  const now = message && (room?.find(message.id) ?? message);
  const isChanged = edits && now.content !== message.content;
  return html`
    <form class="composer" onSubmit=${send}>
      <p class="draft" id="draft" role="status">
        ${action &&
        html`
          <span>${edits ? "Editing" : html`Answering <strong dir="auto">${message.senderId === chat.userId ? "yourself" : nameOf(message.sender)}</strong>`}: <span dir="auto">${now.deletedAt ? DELETED : now.content}</span>${isChanged && " (changed meanwhile)"}</span>
          <button type="button" onClick=${() => (leave(), field.current.focus())} aria-label=${edits ? "Do not edit" : "Do not answer"}>✕</button>
        `}
      </p>
      <label for="text" class="visually-hidden">Message</label>
      <textarea id="text" ref=${field} rows="1" dir="auto" aria-describedby="draft count" aria-invalid=${length > LONGEST} placeholder="Write a message" value=${text} onInput=${input} onKeyDown=${key} onBlur=${() => room?.stopTyping()} />
      <span id="count" class="count" role="status">${length > COUNTED_FROM && `${length} of ${LONGEST}`}</span>
      <button class="primary" disabled=${!text.trim() || length > LONGEST}>${edits ? "Save" : "Send"}</button>
    </form>
  `;
}

render(html`<${App} />`, document.body);
