// What is kept in this browser for a person, over reloads, until they sign out: what they have written and not sent, and what they
// have chosen.

/** As `useDraft` of the client keeps them. */
const keyOf = (user, id) => `switchboard draft ${user} ${id}`;

export function kept(key) {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    // The page may not use the storage.
    return "";
  }
}

export function keep(key, text) {
  try {
    if (text) localStorage.setItem(key, text);
    else localStorage.removeItem(key);
  } catch {
    // There is no room, or no storage. What is written is still on the screen.
  }
}

export const keptText = (user, id) => kept(keyOf(user, id));
export const keepText = (user, id, text) => keep(keyOf(user, id), text);

/** Forgets all that a person has written. */
export function forgetTexts(user) {
  try {
    for (const key of Object.keys(localStorage)) if (key.startsWith(keyOf(user, ""))) localStorage.removeItem(key);
  } catch {
    // There is no storage.
  }
}
