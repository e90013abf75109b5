// Everything that somebody sees who is signed in: the connection, the list, and the conversation that is open.

import { html, useCallback, useEffect, useMemo, useRef, useState } from "../vendor/preact-htm.js";
import { createSwitchboard } from "../client/switchboard.js";
import { Conversation } from "./conversation.js";
import { eventsOf, useFrames } from "./hooks.js";
import { useNotices } from "./notices.js";
import { Side } from "./side.js";
import { wordsOf } from "./words.js";

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

/** The conversation that the address names. */
const idInAddress = () => /^#\/c\/([\w-]+)$/.exec(location.hash)?.[1] ?? null;

/** The conversation that is open, which is part of the address: the browser's Back leads to what was open before. */
function useSelection() {
  const [selected, select] = useState(idInAddress);
  useEffect(() => {
    const moved = () => select(idInAddress());
    addEventListener("popstate", moved);
    return () => removeEventListener("popstate", moved);
  }, []);
  const choose = useCallback((id) => {
    if (id === idInAddress()) return;
    // On a phone the list is behind every conversation.
    const isFromOther = idInAddress() && matchMedia("(max-width: 52rem)").matches;
    if (isFromOther) history.replaceState(history.state, "", `#/c/${id}`);
    else history.pushState({ isFromList: true }, "", `#/c/${id}`);
    select(id);
  }, []);
  /** Back to the list. Who came by a link has none behind them. */
  const leave = useCallback(() => {
    if (history.state?.isFromList) return history.back();
    history.replaceState(null, "", location.pathname);
    select(null);
  }, []);
  /** The conversation is gone: Back does not lead to it. */
  const drop = useCallback(() => {
    history.replaceState(null, "", location.pathname);
    select(null);
  }, []);
  return { selected, choose, leave, drop };
}

/** Who types where: their ids, by conversation. */
function useTypists(chat) {
  const typists = useRef(new Map());
  useFrames((changed) => {
    return chat.on("typing", ({ conversationId, userId, typing }) => {
      const others = (typists.current.get(conversationId) ?? []).filter((id) => id !== userId);
      if (typing && userId !== chat.userId) others.push(userId);
      if (others.length > 0) typists.current.set(conversationId, others);
      else typists.current.delete(conversationId);
      changed();
    });
  }, [chat]);
  return typists.current;
}

export function Chat({ person, signOut }) {
  const chat = useMemo(() => clientFor(person), []);
  useFrames(eventsOf(chat, ["connection", "conversations", "presence"]), [chat]);
  const typists = useTypists(chat);
  const { selected, choose, leave, drop } = useSelection();
  const [isLost, lose] = useState(false);
  const drafts = useMemo(() => new Map(), []);
  const notices = useNotices({ chat, person, choose });
  useEffect(() => {
    const unsent = (event) => chat.unsentCount > 0 && event.preventDefault();
    addEventListener("beforeunload", unsent);
    // What fails is shown as the state of the connection.
    chat.start().catch(() => {});
    return () => {
      removeEventListener("beforeunload", unsent);
      chat.stop();
    };
  }, [chat]);
  // A conversation that does not exist, or in which this user does not take part any more.
  const gone = useCallback(() => {
    drop();
    lose(true);
  }, []);
  useEffect(() => chat.on("gone", (id) => id === idInAddress() && gone()), [chat]);
  useEffect(() => void (selected && lose(false)), [selected]);
  useEffect(() => {
    // On a phone the list is shown again: the focus returns to the entry of the conversation that was open.
    if (!selected) return;
    return () => setTimeout(() => idInAddress() || document.getElementById(`entry-${selected}`)?.focus());
  }, [selected]);
  const askToLeave = () => {
    const unsent = chat.unsentCount;
    if (!unsent || confirm(`${unsent} of your messages and changes are not stored yet, and would be lost. Sign out?`)) {
      notices.forget();
      signOut();
    }
  };
  const isOffline = chat.connection.state !== "online";
  const summary = chat.conversations.find(({ id }) => id === selected);
  return html`
    <${Connection} chat=${chat} />
    <main class=${`chat ${selected ? "has-selection" : ""}`}>
      <h1 class="visually-hidden">Switchboard</h1>
      <${Side}
        chat=${chat} person=${person} selected=${selected} choose=${choose} typists=${typists} isOffline=${isOffline}
        signOut=${askToLeave} notices=${notices}
      />
      ${selected
        ? html`<${Conversation}
            key=${selected} chat=${chat} id=${selected} summary=${summary} drafts=${drafts} person=${person} isOffline=${isOffline}
            leave=${leave} gone=${gone}
          />`
        : html`<div class="empty"><div>
            ${isLost && html`<p role="alert">That conversation does not exist, you are not part of it, or one of you has blocked the other.</p>`}
            <p>Choose a conversation, or start one with somebody.</p>
          </div></div>`}
    </main>
  `;
}

/** How long a connection may take before that is shown, and how long one that has failed is not shown. */
const CONNECTING_AFTER_MS = 2000;
const FAILED_AFTER_MS = 600;

/** The state of the connection, also for screen readers. Short interruptions are not shown. */
function Connection({ chat }) {
  const { state, error } = chat.connection;
  const kind = state === "online" || state === "idle" ? "" : state === "failed" || error ? "failed" : "connecting";
  const [shown, show] = useState("");
  useEffect(() => {
    if (!kind) return show("");
    const timer = setTimeout(() => show(kind), kind === "failed" ? FAILED_AFTER_MS : CONNECTING_AFTER_MS);
    return () => clearTimeout(timer);
  }, [kind]);
  const hint = chat.unsentCount > 0 ? " What you wrote is sent as soon as there is one." : " What you write is sent as soon as there is one.";
  const isOver = state === "failed";
  const retry = () => (isOver ? chat.start().catch(() => {}) : chat.retry());
  return html`
    <div class="connection" role="status">
      ${shown === "connecting" && html`<p class="quiet">Connecting …</p>`}
      ${shown === "failed" &&
      html`<p>${isOver ? `No connection: ${wordsOf(error)}` : `No connection.${hint}`} <button onClick=${retry}>Try now</button></p>`}
    </div>
  `;
}
