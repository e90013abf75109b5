// The people of a group.

import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { Face } from "./face.js";
import { Icon } from "./icons.js";
import { Known } from "./side.js";
import { idsOf, nameOf, peopleOf, wordsOf } from "./words.js";

/** The height of a row in the list of people, in pixels; as in the style sheet. */
const ROW = 56;
/** How many rows beyond those in sight are there already, so that scrolling shows no gap. */
const SPARE_ROWS = 10;

/** The people of a group, of whom there may be a thousand: the list has only the rows that are in sight. */
export function People({ chat, room, summary, isOffline, close }) {
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
  useEffect(() => void (chat.connection.state === "online" && load(undefined)), [id, chat.connection.state]);
  useEffect(() => chat.on("participants", ({ conversationId }) => conversationId === id && void load(undefined)), [id]);
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
        <button onClick=${close} class="icon" aria-label="Close the list of people"><${Icon} name="close" /></button>
      </header>
      ${isOwner &&
      html`
        <form onSubmit=${rename}>
          <label for="group-name" class="visually-hidden">New name of the group</label>
          <input id="group-name" name="name" required maxlength="200" autocomplete="off" dir="auto" placeholder="Another name" />
          <button>Rename</button>
        </form>
        <form onSubmit=${add}>
          <label for="names" class="visually-hidden">People to add, with commas between</label>
          <input id="names" name="names" required autocomplete="off" list="known-to-add" placeholder="Add people" />
          <${Known} chat=${chat} id="known-to-add" />
          <button>Add</button>
        </form>
      `}
      <p class="problem" role="alert">${problem}</p>
      <ul ref=${list} style=${`--rows: ${Math.max(participantCount, people.length)}`} tabindex="0" aria-label="Participants">
        ${people.slice(first, last).map((one, at) => html`<${Person} key=${one.user.id} one=${one} at=${first + at} chat=${chat} room=${room} isOwner=${isOwner} isOffline=${isOffline} count=${participantCount} attempt=${attempt} />`)}
        <li class="room" aria-hidden="true"></li>
      </ul>
      <button class="leave" onClick=${leave}>Leave the group</button>
    </aside>
  `;
}

function Person({ one, at, chat, room, isOwner, isOffline, count, attempt }) {
  const { user, role } = one;
  const isMe = user.id === chat.userId;
  const other = role === "owner" ? "member" : "owner";
  return html`
    <li class="person" style=${`top: ${at * ROW}px`} aria-setsize=${count} aria-posinset=${at + 1}>
      <${Face} user=${user} online=${isOffline ? undefined : isMe || one.online} />
      <span class="who" dir="auto" title=${nameOf(user)}>${nameOf(user)}${isMe && " (you)"}<small>${role === "owner" ? "owner" : ""}</small></span>
      ${isOwner &&
      !isMe &&
      html`
        <button onClick=${() => attempt(() => room.setRole(user.id, other))} aria-label=${`Make ${nameOf(user)} ${role === "owner" ? "a member" : "an owner"}`} title=${`Make ${other}`}><${Icon} name="star" isFilled=${role === "owner"} /></button>
        <button onClick=${() => attempt(() => room.remove(user.id))} aria-label=${`Remove ${nameOf(user)}`} title="Remove"><${Icon} name="delete" /></button>
      `}
    </li>
  `;
}
