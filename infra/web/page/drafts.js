// What somebody has written and not sent: kept for that person, over reloads, until they sign out.

/** As `useDraft` of the client keeps them. */
const keyOf = (user, id) => `switchboard draft ${user} ${id}`;

/** The text that is kept. */
export function keptText(user, id) {
  try {
    return localStorage.getItem(keyOf(user, id)) ?? "";
  } catch {
    // The page may not use the storage.
    return "";
  }
}

export function keepText(user, id, text) {
  try {
    if (text) localStorage.setItem(keyOf(user, id), text);
    else localStorage.removeItem(keyOf(user, id));
  } catch {
    // There is no room, or no storage. What is written is still on the screen.
  }
}

/** Forgets all that a person has written. */
export function forgetTexts(user) {
  try {
    for (const key of Object.keys(localStorage)) if (key.startsWith(keyOf(user, ""))) localStorage.removeItem(key);
  } catch {
    // There is no storage.
  }
}
