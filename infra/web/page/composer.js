// Where messages are written, answered and edited.

import { html } from "../vendor/preact-htm.js";
import { Icon } from "./icons.js";
import { DELETED, lengthOf, nameOf } from "./words.js";

/** The service's limit of a message's length, in characters, and the length from which on a counter is shown. */
const LONGEST = 2000;
const COUNTED_FROM = 1800;

/** A draft: a text, and the message that it answers or edits; then `waiting` is what was written before. */
export const NO_DRAFT = { action: "", message: undefined, text: "", waiting: undefined };

export function Composer({ chat, id, field, room, draft, setDraft, begin, attempt }) {
  const { action, message, text } = draft;
  const edits = action === "edit";
  const length = lengthOf(text);
  // Once the client has failed it takes nothing, and an edit needs the conversation.
  const isReady = text.trim() && length <= LONGEST && chat.connection.state !== "failed" && (room || !edits);
  /** Ends an answer, whose text stays, or an edit. */
  const leave = () => setDraft(edits ? (draft.waiting ?? NO_DRAFT) : { ...NO_DRAFT, text });
  const send = (event) => {
    event.preventDefault();
    if (!isReady) return;
    if (edits) {
      leave();
      if (text !== message.content) void attempt(room.edit(message, text), { message, text });
    } else {
      // The result is shown beside the message.
      chat.send(id, text, { replyTo: message?.id }).catch(() => {});
      setDraft(NO_DRAFT);
    }
    field.current.focus();
  };
  const key = (event) => {
    // Safari ends a composition before the key that ended it: that has the code 229.
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.shiftKey) send(event);
    if (event.key === "Escape" && action) {
      event.preventDefault();
      leave();
    }
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
  const isTooLong = length > LONGEST;
  return html`
    <form class="composer" onSubmit=${send}>
      <p class="draft" id="draft" role="status">
        ${action &&
        html`
          <span>${edits ? "Editing" : html`Answering <strong dir="auto">${message.senderId === chat.userId ? "yourself" : nameOf(message.sender)}</strong>`}: <span dir="auto">${now.deletedAt ? DELETED : now.content}</span>${isChanged && " (changed meanwhile)"}</span>
          <button type="button" class="icon" onClick=${() => (leave(), field.current.focus())} aria-label=${edits ? "Do not edit" : "Do not answer"}><${Icon} name="close" /></button>
        `}
      </p>
      <label for="text" class="visually-hidden">Message</label>
      <textarea
        id="text" ref=${field} rows="1" dir="auto" aria-describedby="draft count" aria-invalid=${isTooLong} placeholder="Write a message"
        value=${text} onInput=${input} onKeyDown=${key} onBlur=${() => room?.stopTyping()}
      />
      <button class="primary" disabled=${!isReady}>${edits ? "Save" : "Send"}</button>
      <p id="count" class=${isTooLong ? "count bad" : "count"} role="status">
        ${length > COUNTED_FROM && `${length} of ${LONGEST} characters${isTooLong ? ": too long to send" : ""}`}
      </p>
    </form>
  `;
}
