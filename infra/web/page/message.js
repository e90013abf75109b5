// One message: what it says, what it answers, its reactions, and what can be done with it.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact-htm.js";
import { Icon } from "./icons.js";
import { isEmoji, textOf } from "./text.js";
import { DELETED, clockOf, hueOf, nameOf, timeOf, wordsOf } from "./words.js";

export function Message({ room, acts, me, message, quoted, isPending, isFound, isGroup, isOwner, starts, ends }) {
  // The actions are there while the message has the pointer or the focus.
  const [has, setHas] = useState({ pointer: false, focus: false });
  const own = useRef(null);
  const mine = message.senderId === me;
  const { deletedAt, editedAt } = message;
  const state = message.readAt ? "read" : "sent";
  const isLarge = !deletedAt && !message.replyTo && isEmoji(message.content);
  const classes = ["message", mine && "mine", deletedAt && "deleted", isFound && "found", isLarge && "large", starts && "starts", ends && "ends"];
  // What is clicked may go away: the message keeps the focus.
  const keepFocus = () => own.current.contains(document.activeElement) && own.current.focus({ preventScroll: true });
  const toggle = ({ reaction, count, userIds }) => {
    keepFocus();
    acts.attempt(userIds.includes(me) ? room.unreact(message, reaction) : reactOrTakeBack(room, message, reaction, count > userIds.length));
  };
  const remove = () => {
    if (!confirm("Delete this message for everybody?")) return;
    keepFocus();
    acts.attempt(room.delete(message));
  };
  const enter = (way) => () => has[way] || setHas((before) => ({ ...before, [way]: true }));
  const leave = (way) => (event) => {
    if (!own.current?.contains(event.relatedTarget)) setHas((before) => ({ ...before, [way]: false }));
  };
  const isNamed = isGroup && !mine && starts;
  return html`
    <article
      class=${classes.filter(Boolean).join(" ")} data-seq=${message.seq} data-id=${message.id} tabindex="-1" ref=${own}
      onMouseMove=${enter("pointer")} onMouseLeave=${leave("pointer")} onfocusin=${enter("focus")} onfocusout=${leave("focus")}
    >
      <span class=${isNamed ? "sender" : "visually-hidden"} style=${`--hue: ${hueOf(message.senderId)}`} dir="auto">${mine ? "You" : nameOf(message.sender)}<span class="visually-hidden">: </span></span>
      ${message.replyTo && !deletedAt && html`<${Quote} room=${room} id=${message.replyTo} quoted=${quoted} acts=${acts} />`}
      ${deletedAt ? html`<p>${DELETED}</p>` : textOf(message.content)}
      <footer>
        ${isPending && html`<span>saving …</span>`}
        ${editedAt && !deletedAt && html`<span class="edited">edited <time datetime=${editedAt}>${timeOf(editedAt)}</time>, sent</span>`}
        <time datetime=${message.createdAt}>${clockOf(message.createdAt)}</time>
        ${mine && html`<span class=${`mark ${state}`} title=${state}><span aria-hidden="true">${message.readAt ? "✓✓" : "✓"}</span><span class="visually-hidden">${state}</span></span>`}
        <button class="visually-hidden" tabindex="-1" onClick=${() => own.current.focus()}>Actions</button>
      </footer>
      ${message.reactions.length > 0 && html`<${Reactions} reactions=${message.reactions} me=${me} acts=${acts} toggle=${toggle} />`}
      ${(has.pointer || has.focus) && html`<${Actions} room=${room} acts=${acts} message=${message} me=${me} isGroup=${isGroup} isOwner=${isOwner} toggle=${toggle} remove=${remove} />`}
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

/** How much of a quoted message is in the page: more than a line shows, and not so much that reading it out takes long. */
const QUOTED = 200;

/** The message that another one answers, in a line that leads to it. */
function Quote({ room, id, quoted, acts }) {
  useEffect(() => {
    if (room && quoted === undefined) room.quote(id).catch(() => {});
  }, [room, quoted]);
  // From before this user took part.
  if (quoted === null) return html`<p class="quote">An earlier message</p>`;
  const words = quoted ? (quoted.deletedAt ? DELETED : [...quoted.content.slice(0, 2 * QUOTED)].slice(0, QUOTED).join("")) : "…";
  return html`
    <button class="quote" onClick=${() => acts.jump(id)} title="Go to that message">
      <span class="visually-hidden">Answers </span>
      ${quoted && html`<strong dir="auto">${nameOf(quoted.sender)}<span class="visually-hidden">: </span></strong>`}
      <span dir="auto">${words}</span>
    </button>
  `;
}

function Reactions({ reactions, me, acts, toggle }) {
  return html`
    <ul class="reactions" aria-label="Reactions">
      ${reactions.map((one) => {
        const { reaction, count, userIds } = one;
        const names = userIds.map((id) => (id === me ? "you" : acts.nameById(id))).join(", ");
        const others = count > userIds.length ? ` and ${count - userIds.length} others` : "";
        return html`
          <li key=${reaction}>
            <button aria-pressed=${userIds.includes(me)} title=${names + others} onClick=${() => toggle(one)}>
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

function Actions({ room, acts, message, me, isGroup, isOwner, toggle, remove }) {
  // What is open: the reactions to choose from, or who has read the message.
  const [shown, show] = useState("");
  const [isUp, setUp] = useState(false);
  const own = useRef(null);
  const opener = useRef(null);
  const picker = useRef(null);
  const mine = message.senderId === me;
  const picks = shown === "reactions";
  useLayoutEffect(() => {
    if (picks) picker.current.querySelector("button").focus();
  }, [picks]);
  /** Opens something where there is room for it. */
  const open = (what) => {
    setUp(own.current.getBoundingClientRect().top > innerHeight / 2);
    show(shown === what ? "" : what);
  };
  const close = () => {
    show("");
    opener.current?.focus();
  };
  const keys = (event) => {
    if (event.key === "Escape" && shown) return event.preventDefault(), close();
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
    <div class=${`actions ${isUp ? "up" : ""}`} role="toolbar" aria-label="Actions" ref=${own} onKeyDown=${keys}>
      ${!message.deletedAt && html`<button ref=${opener} aria-expanded=${picks} aria-label="React" title="React" onClick=${() => open("reactions")}><${Icon} name="react" /></button>`}
      <button aria-label="Reply" title="Reply" onClick=${() => acts.begin("reply", message)}><${Icon} name="reply" /></button>
      ${mine && !message.deletedAt && html`<button aria-label="Edit" title="Edit" onClick=${() => acts.begin("edit", message)}><${Icon} name="edit" /></button>`}
      ${(mine || isOwner) && !message.deletedAt && html`<button aria-label="Delete" title="Delete" onClick=${remove}><${Icon} name="delete" /></button>`}
      ${isGroup && mine && html`<button aria-expanded=${shown === "readers"} aria-label="Read by" title="Read by" onClick=${() => open("readers")}><${Icon} name="readers" /></button>`}
      ${picks &&
      html`
        <div class="picker" role="group" aria-label="Choose a reaction" ref=${picker}>
          ${REACTIONS.map(([reaction, name]) => html`<button key=${reaction} aria-label=${name} title=${name} onClick=${() => choose(reaction)}>${reaction}</button>`)}
        </div>
      `}
      ${shown === "readers" && html`<${Readers} room=${room} message=${message} me=${me} />`}
    </div>
  `;
}

/** The most participants whose positions are fetched for one message: a page. */
const MOST_READERS = 100;

/** Who of a group has read a message. */
function Readers({ room, message, me }) {
  const [words, setWords] = useState("…");
  useEffect(() => {
    const show = ({ participants, nextCursor }) => {
      const readers = participants.filter(({ user, readUpToSeq }) => user.id !== me && readUpToSeq >= message.seq);
      const names = readers.map(({ user }) => nameOf(user)).join(", ");
      setWords(`Read by ${names || "nobody yet"}${nextCursor ? `, of the first ${MOST_READERS} people` : ""}`);
    };
    room.participants({ limit: MOST_READERS }).then(show, (error) => setWords(wordsOf(error)));
  }, [message.seq]);
  return html`<p class="readers" role="status" dir="auto">${words}</p>`;
}

export function Outgoing({ chat, one, room, acts, quoted, starts, ends }) {
  return html`
    <article class=${`message mine ${one.state} ${starts ? "starts" : ""} ${ends ? "ends" : ""}`}>
      <span class="visually-hidden">You: </span>
      ${one.replyTo && html`<${Quote} room=${room} id=${one.replyTo} quoted=${quoted} acts=${acts} />`}
      ${textOf(one.content)}
      <footer>
        ${one.state === "pending"
          ? html`<span>sending …</span>`
          : html`<span role="alert">Not sent. ${one.error && wordsOf(one.error)}</span>
              <button onClick=${() => chat.resend(one.clientMessageId)}>Try again</button>
              <button onClick=${() => chat.discard(one.clientMessageId)}>Discard</button>`}
      </footer>
    </article>
  `;
}
