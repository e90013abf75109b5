// The conversation that is open.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact-htm.js";
import { Composer, NO_DRAFT } from "./composer.js";
import { keepText, keptText } from "./drafts.js";
import { Avatar } from "./face.js";
import { useFrames } from "./hooks.js";
import { Icon } from "./icons.js";
import { Messages, knowsUnread } from "./messages.js";
import { People } from "./people.js";
import { nameOf, peopleOf, presenceOf, titleOf, typingOf, wordsOf } from "./words.js";

/** How many pages are fetched at once to show where the unread messages begin. */
const MOST_PAGES = 5;
/** The codes of errors after which there is no use in asking for a conversation again. */
const REFUSALS = new Set(["invalid_request", "forbidden", "not_found"]);

/** The conversation with its unread messages, once they are here; renders again when it has changed. */
function useRoom(chat, id, gone) {
  const [room, setRoom] = useState(null);
  const hasFailed = chat.connection.state === "failed";
  useEffect(() => {
    // After the next start it is asked for again.
    if (hasFailed) return;
    const leaving = new AbortController();
    const { signal } = leaving;
    let held;
    const opened = async (room) => {
      held = room;
      if (signal.aborted) return void room.release();
      try {
        for (let page = 0; page < MOST_PAGES && !knowsUnread(room.snapshot); page++) await room.older(100);
      } catch {
        // Scrolling fetches them.
      }
      if (!signal.aborted) setRoom(room);
    };
    chat.conversation(id, { signal }).then(opened, ({ code }) => signal.aborted || (REFUSALS.has(code) && gone()));
    return () => {
      leaving.abort();
      void held?.release();
    };
  }, [id, hasFailed]);
  useFrames((changed) => room?.subscribe(changed) ?? (() => {}), [room]);
  return room;
}

export function Conversation({ chat, id, summary, drafts, person, isOffline, leave, gone }) {
  const room = useRoom(chat, id, gone);
  const snapshot = room?.snapshot;
  const composer = useRef(null);
  useLayoutEffect(() => {
    // On a phone the keyboard would cover what one came to read.
    if (matchMedia("(pointer: fine)").matches) composer.current.focus();
  }, [id]);
  const isGroup = summary?.kind === "group";
  const [showsPeople, showPeople] = useState(false);
  const [isSeeking, seek] = useState(false);
  const [draft, setDraft] = useState(() => drafts.get(id) ?? { ...NO_DRAFT, text: keptText(person.user, id) });
  useEffect(() => {
    drafts.set(id, draft);
    keepText(person.user, id, draft.action === "edit" ? (draft.waiting?.text ?? "") : draft.text);
  }, [draft]);
  // Why something was refused.
  const [problem, setProblem] = useState("");
  // A change may be refused when another conversation is open: what was written is kept for when this one is opened again.
  const isOpen = useRef(true);
  useEffect(() => () => (isOpen.current = false), []);
  const changeDraft = (change) => (isOpen.current ? setDraft(change) : drafts.set(id, change(drafts.get(id) ?? NO_DRAFT)));
  /** Answers a message, or edits it; what was written before waits for the end of that. */
  const begin = (action, message, text) => {
    changeDraft((before) => {
      const written = before.action === "edit" ? (before.waiting ?? NO_DRAFT) : before;
      if (action === "edit") return { action, message, text: text ?? message.content, waiting: written };
      return { ...NO_DRAFT, action, message, text: written.text };
    });
    composer.current?.focus();
  };
  /** Shows why a change is refused. What was written is there again. */
  const attempt = (change, { message, text } = {}) => {
    setProblem("");
    return change.catch((error) => {
      setProblem(wordsOf(error));
      const now = message && room?.find(message.id);
      if (now && !now.deletedAt) begin("edit", now, text);
      else if (text) changeDraft((before) => (before.text ? before : { ...NO_DRAFT, text }));
    });
  };
  const nameById = (userId) => {
    const message = room?.snapshot.messages.findLast(({ senderId }) => senderId === userId);
    return message ? nameOf(message.sender) : summary?.otherUser?.id === userId ? nameOf(summary.otherUser) : userId;
  };
  // The same object for as long as the conversation is open, so that a message need not be rendered for a new function.
  const acts = useMemo(() => ({}), []);
  Object.assign(acts, { begin, attempt, nameById });
  const keys = (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || event.isComposing) return;
    if (isSeeking) return closeSearch();
    if (showsPeople) return closePeople();
    document.getElementById(`entry-${id}`)?.focus();
  };
  const closeSearch = () => {
    seek(false);
    composer.current?.focus();
  };
  const closePeople = () => {
    showPeople(false);
    composer.current?.focus();
  };
  const presence = isGroup ? peopleOf(summary ?? {}) : isOffline ? "" : summary?.otherUser && presenceOf(summary.otherUser);
  return html`
    <section class=${`conversation ${isGroup && showsPeople ? "has-people" : ""}`} aria-label="Conversation" onKeyDown=${keys}>
      <header>
        <button class="icon back" onClick=${leave} aria-label="Back to the conversations"><${Icon} name="back" /></button>
        ${summary && html`<${Avatar} of=${summary} isOffline=${isOffline} />`}
        <div>
          <h2 dir="auto">${summary ? titleOf(summary) : "…"}</h2>
          <p class="presence">${summary && presence}</p>
        </div>
        <button class="icon" aria-pressed=${isSeeking} aria-label="Search" title="Search" onClick=${() => seek(!isSeeking)}><${Icon} name="search" /></button>
        ${isGroup && html`<button class="people-toggle" aria-expanded=${showsPeople} onClick=${() => showPeople(!showsPeople)}>People</button>`}
        ${summary?.otherUser && html`<${Blocking} chat=${chat} user=${summary.otherUser} attempt=${attempt} />`}
      </header>
      <${Messages} chat=${chat} id=${id} room=${room} snapshot=${snapshot} summary=${summary} acts=${acts} isSeeking=${isSeeking} closeSearch=${closeSearch} />
      <p class="typing" aria-live="polite">${typingOf((snapshot?.typing ?? []).map(nameById))}</p>
      <p class="refusal" role="alert">${problem}</p>
      <${Composer} chat=${chat} id=${id} field=${composer} room=${room} draft=${draft} setDraft=${setDraft} begin=${begin} attempt=${attempt} />
      ${room && isGroup && showsPeople && html`<${People} chat=${chat} room=${room} summary=${summary} isOffline=${isOffline} close=${closePeople} />`}
    </section>
  `;
}

/** What else there is to do with a person: to block them, or to end that. It is asked for when somebody looks. */
function Blocking({ chat, user, attempt }) {
  const [isBlocked, set] = useState(undefined);
  const menu = useRef(null);
  const look = () => menu.current.open && attempt(chat.blocked().then((ids) => set(ids.includes(user.id))));
  const change = async () => {
    const name = nameOf(user);
    if (!isBlocked && !confirm(`Block ${name}? Neither of you gets messages of the other any more.`)) return;
    menu.current.open = false;
    await attempt(isBlocked ? chat.unblock(user.id) : chat.block(user.id));
  };
  const keys = (event) => {
    if (event.key !== "Escape" || !menu.current.open) return;
    event.preventDefault();
    menu.current.open = false;
    menu.current.firstElementChild.focus();
  };
  return html`
    <details class="menu" ref=${menu} onToggle=${look} onKeyDown=${keys}>
      <summary class="icon" aria-label="More" title="More"><${Icon} name="more" /></summary>
      <div><button disabled=${isBlocked === undefined} onClick=${change}>${isBlocked ? "Unblock" : "Block"} <bdi>${nameOf(user)}</bdi></button></div>
    </details>
  `;
}
