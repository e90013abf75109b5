// The list of conversations, what starts new ones, and who is signed in.

import { html, useCallback, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { Avatar } from "./face.js";
import { Memo } from "./hooks.js";
import { Icon } from "./icons.js";
import { idOf, idsOf, lastWordsOf, nameOf, shortTimeOf, titleOf, wordsOf } from "./words.js";

export function Side({ chat, person, selected, choose, typists, isOffline, signOut, notices }) {
  const [sought, seek] = useState("");
  const [problem, setProblem] = useState("");
  const field = useRef(null);
  const list = useRef(null);
  useEffect(() => {
    const keys = (event) => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
      event.preventDefault();
      field.current.focus();
      field.current.select();
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, []);
  const words = sought.trim().toLowerCase();
  const isFound = (summary) => !words || titleOf(summary).toLowerCase().includes(words) || summary.otherUser?.id.includes(idOf(words));
  const found = words ? chat.conversations.filter(isFound) : chat.conversations;
  const done = (id) => {
    seek("");
    setProblem("");
    choose(id);
  };
  const start = async (event) => {
    event.preventDefault();
    if (!words) return;
    const named = chat.conversations.find((summary) => titleOf(summary).toLowerCase() === words);
    if (named) return done(named.id);
    const other = idOf(words);
    try {
      done(await chat.find(other));
    } catch (error) {
      setProblem(error.code === "not_found" ? `Nobody is called ${other} yet: they have to sign in once.` : wordsOf(error));
    }
  };
  const keys = (event) => {
    if (event.key === "Escape" && sought) {
      event.stopPropagation();
      seek("");
      setProblem("");
    }
    if (event.key !== "ArrowDown") return;
    event.preventDefault();
    list.current.querySelector("button")?.focus();
  };
  return html`
    <nav class="side" aria-label="Conversations">
      <header class="me">
        <h2 dir="auto">${person.name}</h2>
        ${notices.isSupported &&
        html`<button class="icon" aria-pressed=${notices.isOn} title="Notifications" aria-label="Notifications" onClick=${notices.toggle}><${Icon} name=${notices.isOn ? "bell" : "bell-off"} /></button>`}
        <a class="icon" href="docs/" target="_blank" title="Documents" aria-label="Documents"><${Icon} name="help" /></a>
        <button onClick=${signOut}>Sign out</button>
      </header>
      <form class="new" role="search" onSubmit=${start}>
        <label for="other" class="visually-hidden">Search, or start a conversation with</label>
        <input
          id="other" type="search" ref=${field} value=${sought} autocomplete="off" dir="auto" placeholder="Search, or start a chat"
          aria-describedby="problem" aria-keyshortcuts="Control+K" onInput=${(event) => (seek(event.target.value), setProblem(""))} onKeyDown=${keys}
        />
        <button disabled=${!words}>Start</button>
        <p id="problem" role="alert">${problem}</p>
      </form>
      <${NewGroup} chat=${chat} choose=${choose} />
      <${List} chat=${chat} list=${list} found=${found} selected=${selected} choose=${words ? done : choose} typists=${typists} isOffline=${isOffline} />
      ${words && found.length === 0 && html`<p class="hint">No conversation ${chat.hasMoreConversations ? "that is listed here " : ""}is called that. Start one, if somebody is.</p>`}
      ${chat.hasMoreConversations && html`<button class="more" onClick=${() => chat.loadMoreConversations().catch(() => {})}>Older conversations</button>`}
      ${!words && !isOffline && chat.conversations.length === 0 && html`<p class="hint">No conversations yet.</p>`}
      <${Blocked} chat=${chat} />
    </nav>
  `;
}

/** Whom this user has blocked: their conversations cannot be opened, so it is ended here. */
function Blocked({ chat }) {
  const [ids, setIds] = useState(undefined);
  const [problem, setProblem] = useState("");
  const attempt = async (work) => {
    try {
      await work();
      setIds(await chat.blocked());
      setProblem("");
    } catch (error) {
      setProblem(wordsOf(error));
    }
  };
  return html`
    <details class="blocked" onToggle=${(event) => event.currentTarget.open && attempt(() => {})}>
      <summary>Blocked people</summary>
      <p role="alert">${problem}</p>
      ${ids?.length === 0 && html`<p>Nobody.</p>`}
      <ul>${ids?.map((id) => html`<li key=${id}><bdi>${id}</bdi> <button onClick=${() => attempt(() => chat.unblock(id))} aria-label=${`Unblock ${id}`}>Unblock</button></li>`)}</ul>
    </details>
  `;
}

/** The people whom this user has conversations with, to choose from. */
export function Known({ chat, id }) {
  const people = chat.conversations.flatMap(({ otherUser }) => otherUser ?? []);
  return html`<datalist id=${id}>${people.map((user) => html`<option key=${user.id} value=${user.id}>${nameOf(user)}</option>`)}</datalist>`;
}

function NewGroup({ chat, choose }) {
  const [problem, setProblem] = useState("");
  const details = useRef(null);
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    const fields = new FormData(form);
    try {
      choose(await chat.createGroup({ title: fields.get("title").trim(), participantIds: idsOf(fields.get("people")) }));
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
        <input id="title" name="title" required maxlength="200" autocomplete="off" dir="auto" placeholder="Holidays" />
        <label for="people">People, with commas between</label>
        <input id="people" name="people" autocomplete="off" list="known-people" placeholder="Bob, Carol" aria-describedby="group-problem" />
        <${Known} chat=${chat} id="known-people" />
        <p id="group-problem" role="alert">${problem}</p>
        <button class="primary">Make the group</button>
      </form>
    </details>
  `;
}

/** The conversations: one stop of the tab key, in which the arrow keys go from one to the next. */
function List({ chat, list, found, selected, choose, typists, isOffline }) {
  const keys = (event) => {
    const entries = [...list.current.querySelectorAll("button")];
    const at = entries.indexOf(event.target);
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: entries.length - 1 }[event.key];
    if (to === undefined || at === -1 || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    entries[to]?.focus();
  };
  const [focused, focus] = useState(null);
  const stop = [focused, selected].find((id) => id && found.some((summary) => summary.id === id)) ?? found[0]?.id;
  const focusOn = useCallback((id) => focus(id), []);
  return html`
    <ul class="list" ref=${list} onKeyDown=${keys}>
      ${found.map(
        (summary) => html`
          <${Memo}
            key=${summary.id} of=${Entry} summary=${summary} me=${chat.userId} isSelected=${summary.id === selected} choose=${choose}
            isStop=${summary.id === stop} isTyping=${typists.has(summary.id)} isOffline=${isOffline} focusOn=${focusOn}
          />
        `,
      )}
    </ul>
  `;
}

function Entry({ summary, me, isSelected, isStop, choose, isTyping, isOffline, focusOn }) {
  const { id, lastMessage, lastMessageAt, unreadCount } = summary;
  return html`
    <li>
      <button
        id=${`entry-${id}`} class=${unreadCount > 0 ? "unread" : ""} aria-current=${isSelected ? "true" : undefined}
        tabindex=${isStop ? 0 : -1} onClick=${() => choose(id)} onFocus=${() => focusOn(id)}
      >
        <${Avatar} of=${summary} isOffline=${isOffline} />
        <span class="name" dir="auto">${titleOf(summary)}</span>
        ${lastMessage && html`<time class="when" datetime=${lastMessageAt}>${shortTimeOf(lastMessageAt)}</time>`}
        <span class="last" dir="auto">${isTyping ? html`<em>typing …</em>` : lastMessage?.deletedAt ? html`<em>${lastWordsOf(summary, me)}</em>` : lastWordsOf(summary, me)}</span>
        ${unreadCount > 0 && html`<span class="badge">${unreadCount > 999 ? "999+" : unreadCount}<span class="visually-hidden"> unread</span></span>`}
      </button>
    </li>
  `;
}
