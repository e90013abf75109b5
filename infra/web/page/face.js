// Avatars.

import { html } from "../vendor/preact-htm.js";
import { hueOf, initialOf, nameOf, titleOf } from "./words.js";

/** The avatar of a conversation. */
export function Avatar({ of, isOffline }) {
  const { id, avatarUrl, otherUser } = of;
  if (otherUser) return html`<${Face} user=${otherUser} online=${isOffline ? undefined : otherUser.online} />`;
  return html`<span class="avatar group" style=${`--hue: ${hueOf(id)}`}>${picture(avatarUrl, titleOf(of))}</span>`;
}

/** The avatar of a person. Without a connection it is not known whether they are online. */
export function Face({ user, online }) {
  const state = online === undefined ? "unknown" : online ? "online" : "offline";
  return html`
    <span class="avatar" style=${`--hue: ${hueOf(user.id)}`}>
      ${picture(user.avatarUrl, nameOf(user))}
      <span class=${`dot ${state}`}><span class="visually-hidden">${state === "unknown" ? "" : state}</span></span>
    </span>
  `;
}

function picture(url, name) {
  return url ? html`<img src=${url} alt="" referrerpolicy="no-referrer" />` : html`<span aria-hidden="true">${initialOf(name)}</span>`;
}
