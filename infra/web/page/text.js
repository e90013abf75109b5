// What a message says: its links, its code, and whether it is nothing but emoji. All of it is text, never markup.

import { html } from "../vendor/preact-htm.js";
import { charactersOf } from "./words.js";

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

/** A text with its links, which are followed in a window that knows nothing of this one. @param {string} text */
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

/** A text with its links and with what stands between backticks. @param {string} text */
function withCode(text) {
  return text.split(/`([^`\n]+)`/).map((part, at) => (at % 2 ? html`<code>${part}</code>` : withLinks(part)));
}

/** What a message says: paragraphs, and blocks of code between lines of three backticks. @param {string} content */
export function textOf(content) {
  const parts = content.split(/^```[^\n`]*\n([^]*?)\n?```$\n?/m);
  return parts.map((part, at) => {
    if (at % 2) return html`<pre dir="ltr" tabindex="0"><code>${part}</code></pre>`;
    return (part || parts.length === 1) && html`<p dir="auto">${withCode(part)}</p>`;
  });
}

const EMOJI = /\p{Extended_Pictographic}|\p{Regional_Indicator}/u;
/** The most emoji that are shown large. */
const MOST_LARGE = 5;

/** Whether a message is a few emoji and nothing else. @param {string} content */
export function isEmoji(content) {
  // One emoji is at most some 30 UTF-16 units long: a long text is not looked at.
  if (content.length > 30 * MOST_LARGE || !EMOJI.test(content)) return false;
  const characters = charactersOf(content.replace(/\s/g, ""));
  return characters.length <= MOST_LARGE && characters.every((character) => EMOJI.test(character));
}
