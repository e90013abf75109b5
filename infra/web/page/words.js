// What people read: names, times, counts, and errors in words.

/** @param {{id: string, name: string | null, displayName: string | null}} user */
export const nameOf = (user) => user.displayName || user.name || user.id;

/** The name of a conversation. @param {import("../client/types.js").Summary} summary */
export const titleOf = ({ title, otherUser }) => title ?? nameOf(otherUser);

/** The id of the user with this name: development tokens are made from it. @param {string} name */
export const idOf = (name) => name.trim().toLowerCase().replace(/\s+/g, "-");

/** The ids of people whose names have commas between them. @param {string} names */
export const idsOf = (names) => names.split(",").map(idOf).filter(Boolean);

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** The characters of a text as a person sees them, each of which may be several code points. @param {string} text */
export const charactersOf = (text) => Array.from(graphemes.segment(text), ({ segment }) => segment);

/** @param {string} name */
export const initialOf = (name) => graphemes.segment(name)[Symbol.iterator]().next().value?.segment.toUpperCase() ?? "";

/** A colour for a user or a group: the same everywhere. @param {string} id */
export function hueOf(id) {
  let sum = 0;
  for (const character of id) sum = (sum * 31 + character.codePointAt(0)) % 360;
  return sum;
}

/** The length of a message as the service counts it: in code points. @param {string} text */
export function lengthOf(text) {
  let length = 0;
  for (const _ of text) length++;
  return length;
}

// Made once: to make one takes longer than to render a message.
const clock = new Intl.DateTimeFormat([], { timeStyle: "short" });
const weekday = new Intl.DateTimeFormat([], { weekday: "short" });
const dayAndMonth = new Intl.DateTimeFormat([], { day: "numeric", month: "short" });
const date = new Intl.DateTimeFormat([], { day: "numeric", month: "short", year: "numeric" });
const fullDate = new Intl.DateTimeFormat([], { dateStyle: "full" });

const DAY_MS = 24 * 60 * 60 * 1000;

/** How many midnights lie between a time and now. @param {Date} at */
function daysSince(at) {
  const midnight = (/** @type {Date} */ of) => Date.UTC(of.getFullYear(), of.getMonth(), of.getDate());
  return Math.round((midnight(new Date()) - midnight(at)) / DAY_MS);
}

/** @param {string} iso */
export const clockOf = (iso) => clock.format(new Date(iso));

/** The time of a message in the list of conversations. @param {string} iso */
export function shortTimeOf(iso) {
  const at = new Date(iso);
  const days = daysSince(at);
  if (days <= 0) return clock.format(at);
  if (days === 1) return "Yesterday";
  if (days < 7) return weekday.format(at);
  return (at.getFullYear() === new Date().getFullYear() ? dayAndMonth : date).format(at);
}

/** The day above the messages of that day. @param {string} iso */
export function dayOf(iso) {
  const at = new Date(iso);
  const days = daysSince(at);
  if (days === 0) return "Today";
  return days === 1 ? "Yesterday" : fullDate.format(at);
}

/** A time with its day, unless that is today. @param {string} iso */
export function timeOf(iso) {
  const short = shortTimeOf(iso);
  return short === clockOf(iso) ? short : `${short}, ${clockOf(iso)}`;
}

/** @param {{online: boolean, lastSeenAt: string | null}} user */
export function presenceOf({ online, lastSeenAt }) {
  if (online) return "online";
  return lastSeenAt ? `last seen ${timeOf(lastSeenAt)}` : "offline";
}

export function peopleOf({ participantCount }) {
  return participantCount === 1 ? "only you" : `${participantCount} people`;
}

/** Who types, by their names. @param {string[]} names */
export function typingOf(names) {
  if (names.length === 0) return "";
  if (names.length > 2) return `${names.length} people are typing …`;
  return names.length === 1 ? `${names[0]} is typing …` : `${names[0]} and ${names[1]} are typing …`;
}

export const DELETED = "This message was deleted.";

/** What the list shows of the latest message. @param {string} me */
export function lastWordsOf({ kind, lastMessage }, me) {
  if (!lastMessage) return "";
  if (lastMessage.deletedAt) return DELETED;
  if (lastMessage.senderId === me) return `You: ${lastMessage.content}`;
  return kind === "group" ? `${nameOf(lastMessage.sender)}: ${lastMessage.content}` : lastMessage.content;
}

/** What a person reads of an error. @param {import("../client/switchboard.js").SwitchboardError} error */
export function wordsOf(error) {
  const unknown = error.code === "not_found" && /there is no user (.*)/.exec(error.message);
  if (unknown) return `Nobody is called ${unknown[1]} yet: they have to sign in once.`;
  if (error.code === "disconnected" || error.code === "timeout") return "There is no connection. Try again in a moment.";
  if (error.code === "unavailable" || error.code === "internal") return "The service has a problem. Try again in a moment.";
  if (error.code === "rate_limited") {
    const seconds = Math.ceil((error.retryAfterMs ?? 60_000) / 1000);
    return `That was too much at once. Try again in ${seconds === 1 ? "a second" : `${seconds} seconds`}.`;
  }
  // Without the name of the field, which the words stand beside.
  const message = error.message.replace(/^[\w.]+: /, "");
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}${/[.!?]$/.test(message) ? "" : "."}`;
}
