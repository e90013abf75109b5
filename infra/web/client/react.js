// Hooks for React. They work in StrictMode and on the server, where nothing is connected.

// @ts-check

import { createContext, createElement, useCallback, useContext, useEffect, useMemo, useState, useSyncExternalStore } from "react";

/**
 * @typedef {import("./switchboard.js").Switchboard} Switchboard
 * @typedef {import("./switchboard.js").Room} Room
 * @typedef {import("./switchboard.js").Summary} Summary
 * @typedef {import("./switchboard.js").Message} Message
 * @typedef {import("./switchboard.js").Outgoing} Outgoing
 * @typedef {import("./switchboard.js").SwitchboardError} SwitchboardError
 * @typedef {import("./switchboard.js").ConnectionState} ConnectionState
 * @typedef {import("./switchboard.js").RoomSnapshot} RoomSnapshot
 */

const Context = createContext(/** @type {Switchboard | null} */ (null));

/** @type {ConnectionState} */
const IDLE = Object.freeze({ state: "idle" });
/** @type {readonly never[]} */
const NONE = Object.freeze([]);
const nothing = () => {};

/**
 * Gives a client to the hooks below it. The client is started when this is mounted, and stopped when it is unmounted.
 *
 * @param {{client: Switchboard, children?: import("react").ReactNode}} props
 */
export function SwitchboardProvider({ client, children }) {
  useEffect(() => {
    // The state tells what comes of it.
    client.start().catch(nothing);
    return () => client.stop();
  }, [client]);
  return createElement(Context.Provider, { value: client }, children);
}

/** The client of the {@link SwitchboardProvider}. */
export function useSwitchboard() {
  const client = useContext(Context);
  if (!client) throw new Error("there is no <SwitchboardProvider> above this component");
  return client;
}

/** The state of the connection. */
export function useConnection() {
  const client = useSwitchboard();
  const subscribe = useCallback((/** @type {() => void} */ changed) => client.on("connection", changed), [client]);
  return useSyncExternalStore(subscribe, () => client.connection, () => IDLE);
}

/** The list of conversations, the one with the latest activity first. */
export function useConversations() {
  const client = useSwitchboard();
  const subscribe = useCallback((/** @type {() => void} */ changed) => client.on("conversations", changed), [client]);
  const conversations = useSyncExternalStore(subscribe, () => client.conversations, () => /** @type {readonly Summary[]} */ (NONE));
  const loadMore = useCallback(() => client.loadMoreConversations(), [client]);
  return { conversations, unreadCount: client.unreadCount, hasMore: client.hasMoreConversations, loadMore };
}

/**
 * What a component has of a conversation. `status` is `ready` once the conversation is complete, and `gone` when the user does
 * not take part any more.
 *
 * @typedef {object} Conversation
 * @property {"idle" | "loading" | "ready" | "gone" | "failed"} status
 * @property {Room | undefined} room once it is ready
 * @property {Summary | undefined} summary
 * @property {readonly Message[]} messages
 * @property {readonly Outgoing[]} outgoing
 * @property {boolean} hasOlder
 * @property {number | null} firstUnreadSeq
 * @property {SwitchboardError | undefined} error why it cannot be opened
 * @property {(content: string, more?: {replyTo?: string, metadata?: import("./types.js").Metadata}) => Promise<Message>} send may be called before it is
 *   ready
 * @property {(limit?: number) => Promise<void>} older
 * @property {(clientMessageId: string) => void} resend
 * @property {(clientMessageId: string) => void} discard
 */

/**
 * A conversation, which is open as long as a component shows it. Edits, deletions, reactions and people are done with its `room`.
 *
 * @param {string | null | undefined} id nothing is open without one
 * @returns {Conversation}
 */
export function useConversation(id) {
  const client = useSwitchboard();
  const { room, snapshot, error } = useRoom(id);
  const summaries = useConversations().conversations;
  const subscribe = useCallback((/** @type {() => void} */ changed) => client.on("outgoing", changed), [client]);
  const unsent = useSyncExternalStore(subscribe, () => client.outgoing, () => /** @type {readonly Outgoing[]} */ (NONE));
  const outgoing = useMemo(() => (id ? unsent.filter(({ conversationId }) => conversationId === id) : NONE), [unsent, id]);
  const actions = useMemo(
    () => ({
      /** @type {Conversation["send"]} */
      send: (content, more) => client.send(id ?? "", content, more),
      older: async (/** @type {number | undefined} */ limit) => room?.older(limit),
      resend: (/** @type {string} */ clientMessageId) => client.resend(clientMessageId),
      discard: (/** @type {string} */ clientMessageId) => client.discard(clientMessageId),
    }),
    [client, id, room],
  );
  const status = !id ? "idle" : snapshot?.isGone ? "gone" : snapshot ? "ready" : error ? "failed" : "loading";
  return {
    status,
    room,
    summary: snapshot?.summary ?? summaries.find((summary) => summary.id === id),
    messages: snapshot?.messages ?? NONE,
    outgoing,
    hasOlder: snapshot?.hasOlder ?? false,
    firstUnreadSeq: snapshot?.firstUnreadSeq ?? null,
    error,
    ...actions,
  };
}

/**
 * Who is typing in a conversation, by their ids, and what tells the others that this user is: call `type` on every key, and `stop`
 * when what was written is gone.
 *
 * @param {string | null | undefined} id
 */
export function useTyping(id) {
  const { room, snapshot } = useRoom(id);
  const actions = useMemo(() => ({ type: () => room?.typing(), stop: () => room?.stopTyping() }), [room]);
  useEffect(() => actions.stop, [actions]);
  return { typing: snapshot?.typing ?? NONE, ...actions };
}

/**
 * Whether somebody is online, and when they were last: see `presence` of the client.
 *
 * @param {string | null | undefined} userId
 * @returns {{online: boolean, lastSeenAt: string | null}}
 */
export function usePresence(userId) {
  const client = useSwitchboard();
  const subscribe = useCallback(
    (/** @type {() => void} */ changed) => {
      const offs = [client.on("presence", changed), client.on("conversations", changed)];
      return () => offs.forEach((off) => off());
    },
    [client],
  );
  const known = useSyncExternalStore(subscribe, () => (userId ? client.presence(userId) : undefined), () => undefined);
  return { online: known?.online ?? false, lastSeenAt: known?.lastSeenAt ?? null };
}

/**
 * Marks a conversation as read while the newest message can be seen: put the ref that it returns on an element behind that
 * message. What is seen counts as read while the page has the focus.
 *
 * @param {string | null | undefined} id
 * @returns {import("react").RefCallback<Element>}
 */
export function useReadWhenVisible(id) {
  const { room, snapshot } = useRoom(id);
  const [element, setElement] = useState(/** @type {Element | null} */ (null));
  const unread = snapshot?.summary?.unreadCount ?? 0;
  const lastSeq = snapshot?.summary?.lastSeq;
  useEffect(() => {
    if (!element || !room || unread === 0 || typeof IntersectionObserver !== "function") return;
    let isVisible = false;
    const look = () => {
      if (isVisible && document.hasFocus()) room.markRead(lastSeq).catch(nothing);
    };
    const observer = new IntersectionObserver((entries) => {
      isVisible = entries.some(({ isIntersecting }) => isIntersecting);
      look();
    });
    observer.observe(element);
    window.addEventListener("focus", look);
    return () => {
      observer.disconnect();
      window.removeEventListener("focus", look);
    };
  }, [element, room, unread, lastSeq]);
  return setElement;
}

/**
 * What is being written in a conversation. It is kept for this user over reloads, and is nobody else's.
 *
 * @param {string} id
 * @returns {[string, (text: string) => void]}
 */
export function useDraft(id) {
  const client = useSwitchboard();
  // The user is known once there is a token.
  useConnection();
  const { userId } = client;
  const [written, setWritten] = useState({ client, id: "", userId: "", text: "" });
  // What was written before the user was known is theirs too: the client is.
  const isCurrent = written.client === client && written.id === id && (written.userId === userId || written.userId === "");
  const text = isCurrent ? written.text : stored(keyOf(userId, id));
  const write = useCallback(
    (/** @type {string} */ text) => {
      setWritten({ client, id, userId, text });
      store(keyOf(userId, id), text);
    },
    [client, id, userId],
  );
  const isNotKept = isCurrent && written.userId !== userId;
  useEffect(() => {
    if (isNotKept) write(text);
  }, [isNotKept, write, text]);
  return [text, write];
}

/**
 * Opens a conversation as long as the component is there. Components share it.
 *
 * @param {string | null | undefined} id
 * @returns {{room: Room | undefined, snapshot: RoomSnapshot | undefined, error: SwitchboardError | undefined}}
 */
function useRoom(id) {
  const client = useSwitchboard();
  const { state } = useConnection();
  const isRunning = state !== "failed" && state !== "idle";
  const [opened, setOpened] = useState(
    /** @type {{client?: Switchboard, id?: string, room?: Room, error?: SwitchboardError}} */ ({}),
  );
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    if (!id) return;
    const leaving = new AbortController();
    const { signal } = leaving;
    /** @type {Room | undefined} */
    let held;
    const take = (/** @type {Room} */ room) => {
      if (signal.aborted) return void room.release();
      held = room;
      setOpened({ client, id, room });
    };
    const refuse = (/** @type {SwitchboardError} */ error) => signal.aborted || setOpened({ client, id, error });
    client.conversation(id, { signal }).then(take, refuse);
    return () => {
      leaving.abort();
      void held?.release();
    };
  }, [client, id, attempt]);
  const isRefused = opened.error !== undefined;
  useEffect(() => {
    // A client that has failed or was stopped is started again.
    if (isRunning && isRefused) setAttempt((before) => before + 1);
    // What is refused while it runs is not asked for again: `isRefused` is not waited for.
  }, [isRunning]);
  const isCurrent = opened.client === client && opened.id === id;
  const room = isCurrent ? opened.room : undefined;
  const subscribe = useCallback((/** @type {() => void} */ changed) => room?.subscribe(changed) ?? nothing, [room]);
  const snapshot = useSyncExternalStore(subscribe, () => room?.snapshot, () => undefined);
  const isGone = snapshot?.isGone ?? false;
  useEffect(() => {
    if (!isGone) return;
    // The user may be added again.
    return client.on("conversations", () => {
      if (client.conversations.some((summary) => summary.id === id)) setAttempt((before) => before + 1);
    });
  }, [client, id, isGone]);
  return { room, snapshot, error: isCurrent ? opened.error : undefined };
}

/**
 * Where a draft is kept. Nobody's is kept anywhere.
 *
 * @param {string} userId
 * @param {string} id
 */
function keyOf(userId, id) {
  return userId && `switchboard draft ${userId} ${id}`;
}

/** @param {string} key */
function stored(key) {
  try {
    return (key && localStorage.getItem(key)) || "";
  } catch {
    // There is no storage, such as on a server, or the page may not use it.
    return "";
  }
}

/**
 * @param {string} key
 * @param {string} text
 */
function store(key, text) {
  if (!key) return;
  try {
    if (text) localStorage.setItem(key, text);
    else localStorage.removeItem(key);
  } catch {
    // There is no room, or no storage. What is written is still on the screen.
  }
}
