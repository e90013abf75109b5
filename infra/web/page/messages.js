// The messages of the open conversation: a window of rows that moves through them as somebody scrolls, and what of them is read.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact-htm.js";
import { Memo } from "./hooks.js";
import { Icon } from "./icons.js";
import { Message, Outgoing } from "./message.js";
import { dayOf, nameOf } from "./words.js";

/** The height that a row has at least, in pixels. */
const LEAST = 36;
/** How many rows are at the end of a conversation: at least so many, and more than fit on the screen. */
const shownAtEnd = () => Math.max(40, Math.ceil(innerHeight / LEAST) + 10);
/** How many rows there are at most. */
const most = () => 3 * shownAtEnd();
/** The number of rows that scrolling adds at once. */
const STEP = 30;
/** How near an end of the window has to be, in pixels, before it moves. */
const NEAR = 600;
/** How near the end of the conversation counts as there. */
const AT_END = 40;
/** Messages of one sender within this time stand together. */
const TOGETHER_MS = 5 * 60 * 1000;
/** Messages that come within this time are announced together. */
const ANNOUNCED_MS = 500;

/** Whether it is known where the unread messages begin: they may begin before the oldest message that is here. */
export const knowsUnread = ({ messages, hasOlder, firstUnreadSeq }) => !hasOlder || firstUnreadSeq !== messages[0]?.seq;

export function Messages({ chat, id, room, snapshot, summary, acts, isSeeking, closeSearch }) {
  const list = useRef(null);
  const rows = useRef(null);
  // Where the window is, by `seq`. Without `to` it ends with the conversation.
  const [range, setRange] = useState({ from: undefined, to: undefined });
  // Whether the end is in sight; else the row that is to stay where it is, or one that is to be shown.
  const place = useRef({ isAtEnd: true, anchor: undefined, target: undefined, loading: false, sent: 0, top: 0 });
  // Where the window begins that ends with the conversation.
  const endsFrom = useRef(0);
  const [isAway, setAway] = useState(false);
  // The message that a reply or a search has led to, in an object of its own each time.
  const [found, setFound] = useState({ id: "" });
  // Whether somebody looks. Who comes back sees first what has come meanwhile, as it was while they were away.
  const gaze = useRef(document.hasFocus());
  const isLooking = () => gaze.current && document.hasFocus();
  // Somebody who goes to the end does not want to read what is before.
  const [isCaughtUp, catchUp] = useState(false);
  const knows = isCaughtUp || !snapshot || knowsUnread(snapshot);
  const divider = useDivider(knows ? snapshot : undefined, () => place.current.isAtEnd && isLooking());

  const messages = snapshot?.messages ?? [];
  const outgoing = snapshot?.outgoing ?? chat.outgoing.filter((one) => one.conversationId === id);
  const oldest = messages[0]?.seq ?? 1;
  const end = range.to === undefined ? messages.length : Math.max(0, Math.min(range.to - oldest + 1, messages.length));
  // At the end of the conversation it grows with that, and is cut when it has become too large: to move it for each message
  // would replace rows all the time.
  if (messages.length - (endsFrom.current - oldest) > most() || endsFrom.current < oldest) {
    endsFrom.current = oldest + Math.max(0, messages.length - shownAtEnd());
  }
  const start = Math.max(0, Math.min((range.from ?? endsFrom.current) - oldest, end));
  const shown = messages.slice(start, end);
  const isWhole = end === messages.length;

  /** Moves the window to these messages, and then what is found by a selector into sight. */
  const show = (target, from, to) => {
    const last = room.snapshot.messages.at(-1).seq;
    place.current.isAtEnd = false;
    place.current.target = { ...target, isNew: true };
    setRange({ from, to: to < last ? to : last });
  };

  const follow = () => {
    catchUp(true);
    endsFrom.current = 0;
    place.current.isAtEnd = true;
    setRange({ from: undefined, to: undefined });
    setAway(false);
  };

  /** Takes note of what is in sight, which counts as read if the page has the focus. */
  const look = () => {
    const { current: box } = list;
    if (!room || box.clientHeight === 0) return;
    const { top, bottom } = box.getBoundingClientRect();
    let seen = 0;
    place.current.anchor = undefined;
    for (const article of rows.current.querySelectorAll("article[data-seq]")) {
      const edge = article.getBoundingClientRect();
      if (edge.top + Math.min(edge.height, AT_END) > bottom + 1) break;
      seen = Number(article.dataset.seq);
      if (!place.current.anchor && edge.bottom > top) place.current.anchor = { id: article.dataset.id, top: edge.top - top };
    }
    if (seen > 0 && knows && isLooking()) room.markRead(seen).catch(() => {});
  };
  /** The end stays in sight, or what is looked at stays where it is. */
  const stay = () => {
    const { current: box } = list;
    const { current: at } = place;
    if (at.isAtEnd) {
      box.scrollTop = box.scrollHeight;
    } else if (at.anchor) {
      const anchor = rows.current.querySelector(`[data-id="${CSS.escape(at.anchor.id)}"]`);
      if (anchor) box.scrollTop += anchor.getBoundingClientRect().top - box.getBoundingClientRect().top - at.anchor.top;
    }
    at.top = box.scrollTop;
  };

  /** Moves the window if somebody comes near one of its ends. */
  const move = () => {
    const { current: box } = list;
    const { current: at } = place;
    if (at.target || messages.length === 0) return;
    const below = box.scrollHeight - box.scrollTop - box.clientHeight;
    // The slightest way up ends following.
    const isOnItsWayUp = at.isAtEnd && box.scrollTop < at.top - 1;
    const isAtEnd = isWhole && below < AT_END && !isOnItsWayUp;
    if (isAtEnd !== at.isAtEnd) {
      at.isAtEnd = isAtEnd;
      setAway(!isAtEnd);
      if (isAtEnd) return knows ? follow() : undefined;
      return setRange({ from: messages[start].seq, to: messages[end - 1].seq });
    }
    if (isAtEnd && box.scrollHeight > box.clientHeight) return;
    if (box.scrollTop < NEAR && start > 0) {
      const from = Math.max(0, start - STEP);
      at.isAtEnd = false;
      setRange({ from: messages[from].seq, to: messages[Math.min(end, from + most()) - 1].seq });
    } else if (box.scrollTop < NEAR && snapshot.hasOlder) {
      void older();
    } else if (below < NEAR && !isWhole) {
      const to = Math.min(messages.length, end + STEP);
      setRange({ from: messages[Math.max(start, to - most())].seq, to: messages[to - 1].seq });
    }
  };
  const older = async () => {
    if (place.current.loading) return;
    place.current.loading = true;
    // Without a connection the next scrolling tries again.
    await room.older(100).catch(() => {});
    place.current.loading = false;
  };

  // It opens where the unread messages begin.
  useLayoutEffect(() => {
    const first = snapshot?.firstUnreadSeq;
    if (!first || !knows) return;
    show({ selector: ".unread-line", block: "start" }, Math.max(oldest, first - 5), first + shownAtEnd());
  }, [room]);
  // After each rendering: the end stays in sight, or what is looked at stays where it is.
  useLayoutEffect(() => {
    const { current: box } = list;
    const { current: at } = place;
    if (outgoing.length > at.sent) {
      at.sent = outgoing.length;
      if (!at.isAtEnd) return follow();
    }
    at.sent = outgoing.length;
    const target = at.target && rows.current.querySelector(at.target.selector);
    if (at.target?.isNew && !target) {
      // The window has not been rendered where it is now.
      at.target.isNew = false;
      return;
    }
    if (target) {
      target.scrollIntoView({ block: at.target.block });
      if (at.target.isFocused) target.focus({ preventScroll: true });
      at.isAtEnd = isWhole && box.scrollHeight - box.scrollTop - box.clientHeight < AT_END;
      setAway(!at.isAtEnd);
    } else {
      stay();
      // While nobody looks, the first unread message stays in sight.
      const line = at.isAtEnd && !isLooking() && rows.current.querySelector(".unread-line");
      if (line && line.getBoundingClientRect().top < box.getBoundingClientRect().top) {
        line.scrollIntoView({ block: "start" });
        at.isAtEnd = false;
        setAway(true);
        setRange({ from: messages[start].seq, to: messages[end - 1].seq });
      }
    }
    at.target = undefined;
    at.top = box.scrollTop;
    look();
    if (!at.isAtEnd) move();
    else if (range.to !== undefined && knows) follow();
  });
  useEffect(() => {
    const { current: box } = list;
    // An on-screen keyboard takes room from below, and text may be laid out later.
    const observer = new ResizeObserver(stay);
    observer.observe(box);
    observer.observe(rows.current);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    const leave = () => (gaze.current = false);
    // After what has come meanwhile is rendered.
    const comeBack = () => requestAnimationFrame(() => {
      gaze.current = true;
      latest.current();
    });
    addEventListener("blur", leave);
    addEventListener("focus", comeBack);
    return () => {
      removeEventListener("blur", leave);
      removeEventListener("focus", comeBack);
    };
  }, []);
  const latest = useRef(look);
  latest.current = look;
  /** Goes to a message, and fetches what is between. */
  acts.jump = async (messageId) => {
    const at = () => room.snapshot.messages.findIndex((message) => message.id === messageId);
    place.current.loading = true;
    try {
      for (let before; at() === -1 && room.snapshot.hasOlder && before !== room.snapshot.messages[0]?.id; ) {
        before = room.snapshot.messages[0]?.id;
        await room.older(100);
      }
    } catch {
      // There is no connection, which is shown.
    }
    place.current.loading = false;
    const index = at();
    if (index === -1) return;
    const { seq } = room.snapshot.messages[index];
    show({ selector: `[data-id="${CSS.escape(messageId)}"]`, block: "center", isFocused: true }, Math.max(room.snapshot.messages[0].seq, seq - STEP), seq + STEP);
    setFound({ id: messageId });
  };
  useEffect(() => {
    if (!found.id) return;
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
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  };

  const isGroup = summary?.kind === "group";
  const row = (message, at) => {
    const [before, after] = [messages[at - 1], messages[at + 1]];
    const isMine = message.senderId === chat.userId;
    const isLast = !after && !(isMine && outgoing.length > 0);
    return html`
      <${Memo}
        key=${isMine ? (message.clientMessageId ?? message.id) : message.id}
        of=${Message} room=${room} acts=${acts} me=${chat.userId} message=${message}
        quoted=${message.replyTo && !message.deletedAt ? room.find(message.replyTo) : undefined}
        isPending=${room.isPending(message.id)} isFound=${found.id === message.id} isGroup=${isGroup} isOwner=${isGroup && summary.role === "owner"}
        starts=${!areTogether(before, message) || message.seq === divider} ends=${after ? !areTogether(message, after) || after.seq === divider : isLast}
      />
    `;
  };
  const days = [];
  shown.forEach((message, at) => {
    const day = new Date(message.createdAt).toDateString();
    if (days.at(-1)?.day !== day) days.push({ day, first: message, rows: [] });
    if (message.seq === divider) days.at(-1).rows.push(html`<p class="unread-line" key="unread-line"><span>Unread</span></p>`);
    days.at(-1).rows.push(row(message, start + at));
  });
  const unread = summary?.unreadCount ?? 0;
  return html`
    ${isSeeking && html`<${Search} messages=${messages} hasOlder=${snapshot?.hasOlder} acts=${acts} close=${closeSearch} />`}
    <div class="scroll">
      <div class="messages" role="log" aria-label="Messages" aria-live="off" aria-busy=${!room} tabindex="0" ref=${list} onScroll=${() => (look(), move())} onKeyDown=${keys}>
        <div class="rows" ref=${rows}>
          ${start === 0 && snapshot?.hasOlder && html`<button class="more" key="more" onClick=${() => (list.current.focus(), older())}>Older messages</button>`}
          ${days.map(({ day, first, rows }) => html`<section key=${day}><h3 class="day"><span>${dayOf(first.createdAt)}</span></h3>${rows}</section>`)}
          ${isWhole && outgoing.map((one, at) => html`<${Outgoing} key=${one.clientMessageId} chat=${chat} one=${one} starts=${at === 0 && messages.at(-1)?.senderId !== chat.userId} room=${room} acts=${acts} quoted=${one.replyTo && room?.find(one.replyTo)} ends=${at === outgoing.length - 1} />`)}
          ${!room && html`<p class="hint" key="hint">${chat.connection.state === "online" && "Loading …"}</p>`}
          ${room && messages.length + outgoing.length === 0 && html`<p class="hint" key="hint">Nothing has been said yet.</p>`}
        </div>
      </div>
      ${(isAway || !knows) &&
      html`<button class="latest" onClick=${follow} title="Latest message">
        <${Icon} name="down" />${unread > 0 && html` <span class="badge">${unread}</span>`}<span class="visually-hidden">${unread > 0 ? " unread. Go to the latest message" : "Go to the latest message"}</span>
      </button>`}
    </div>
    <${Announcer} chat=${chat} id=${id} />
  `;
}

/** Whether two messages stand together. */
function areTogether(one, other) {
  if (!one || !other || one.senderId !== other.senderId) return false;
  const [first, second] = [new Date(one.createdAt), new Date(other.createdAt)];
  return second - first < TOGETHER_MS && first.getDate() === second.getDate();
}

/**
 * The `seq` of the first message that was unread when the conversation was opened, or that has come since while nobody looked at
 * the end.
 */
function useDivider(snapshot, isLookedAt) {
  const kept = useRef({ seq: undefined, isDone: true });
  const first = snapshot?.firstUnreadSeq ?? undefined;
  const isOpening = useRef(true);
  const sent = useRef(0);
  if (snapshot) {
    if (first === undefined) kept.current.isDone = true;
    else if (kept.current.isDone && (isOpening.current || !isLookedAt())) kept.current = { seq: first, isDone: false };
    // Who answers has read what was said.
    if (!isOpening.current && snapshot.outgoing.length > sent.current) kept.current.seq = undefined;
    sent.current = snapshot.outgoing.length;
    isOpening.current = false;
  }
  return kept.current.seq;
}

/** Tells screen readers what others say, and not what is loaded. */
function Announcer({ chat, id }) {
  const [said, say] = useState("");
  useEffect(() => {
    const waiting = [];
    let timer;
    const announce = () => {
      timer = undefined;
      const [first] = waiting;
      say(waiting.length === 1 ? `${nameOf(first.sender)}: ${first.content}` : `${waiting.length} new messages`);
      waiting.length = 0;
    };
    const off = chat.on("message", (message) => {
      if (message.conversationId !== id || message.senderId === chat.userId) return;
      waiting.push(message);
      timer ??= setTimeout(announce, ANNOUNCED_MS);
    });
    return () => {
      off();
      clearTimeout(timer);
    };
  }, [chat, id]);
  return html`<p class="visually-hidden" aria-live="polite">${said}</p>`;
}

/** Finds messages among those that are here, from the latest to the oldest. */
function Search({ messages, hasOlder, acts, close }) {
  const [text, setText] = useState("");
  // The place of the next one to go to.
  const [next, setNext] = useState(0);
  const field = useRef(null);
  useLayoutEffect(() => field.current.focus(), []);
  const words = text.trim().toLowerCase();
  const found = words ? messages.filter(({ content }) => content.toLowerCase().includes(words)).reverse() : [];
  const submit = async (event) => {
    event.preventDefault();
    if (found.length === 0) return;
    setNext(next + 1);
    await acts.jump(found[next % found.length].id);
    // The focus would go to the message.
    requestAnimationFrame(() => field.current?.focus({ preventScroll: true }));
  };
  const input = (event) => {
    setText(event.target.value);
    setNext(0);
  };
  return html`
    <form class="search" role="search" onSubmit=${submit}>
      <label for="sought" class="visually-hidden">Search in the messages that are loaded</label>
      <input id="sought" type="search" ref=${field} value=${text} onInput=${input} autocomplete="off" dir="auto" placeholder="Search in what is loaded" />
      <span role="status">${words && (found.length > 0 ? `${found.length} found` : hasOlder ? "Not in what is loaded" : "Nothing found")}</span>
      <button class="icon" disabled=${found.length === 0} aria-label="Next older one" title="Older"><${Icon} name="up" /></button>
      <button class="icon" type="button" aria-label="Close the search" title="Close" onClick=${close}><${Icon} name="close" /></button>
    </form>
  `;
}
