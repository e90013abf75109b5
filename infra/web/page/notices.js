// What tells somebody of messages while they look elsewhere: the title, the badge, and notifications if they want them.

import { useLayoutEffect, useMemo, useState } from "../vendor/preact-htm.js";
import { keep, kept } from "./drafts.js";
import { DELETED, lastWordsOf, titleOf } from "./words.js";

const isSupported = typeof Notification === "function";

/** Shows notifications of messages that come while nobody looks, once the person has chosen that. */
export function useNotices({ chat, person, choose }) {
  const key = `switchboard notifications ${person.user}`;
  const [isOn, set] = useState(() => isSupported && kept(key) === "on" && Notification.permission === "granted");
  useLayoutEffect(() => {
    const seen = new Map(chat.conversations.map(({ id, lastSeq }) => [id, lastSeq]));
    // What was there before the first connection is not new.
    let isNews = chat.connection.state === "online";
    const offConnection = chat.on("connection", ({ state }) => (isNews ||= state === "online"));
    const off = chat.on("conversations", () => {
      const { unreadCount } = chat;
      document.title = unreadCount ? `(${unreadCount}) Switchboard` : "Switchboard";
      if (isOn) navigator.setAppBadge?.(unreadCount).catch(() => {});
      for (const summary of chat.conversations) {
        const { id, lastSeq, lastMessage, unreadCount } = summary;
        const isNew = isNews && lastSeq > (seen.get(id) ?? 0);
        seen.set(id, lastSeq);
        const isOthers = lastMessage && lastMessage.senderId !== chat.userId && unreadCount > 0;
        if (isOn && isNew && isOthers && !document.hasFocus()) notify(summary);
      }
    });
    return () => {
      offConnection();
      off();
    };
  }, [chat, isOn]);
  const shown = useMemo(() => new Set(), []);
  const notify = (summary) => {
    const body = summary.lastMessage.deletedAt ? DELETED : lastWordsOf(summary, chat.userId);
    let notice;
    try {
      notice = new Notification(titleOf(summary), { body, tag: summary.id, icon: "icon.svg" });
    } catch {
      // On Android only a service worker may show them.
      return;
    }
    shown.add(notice);
    notice.onclick = () => {
      window.focus();
      choose(summary.id);
      notice.close();
    };
  };
  return useMemo(() => {
    const forget = () => {
      navigator.clearAppBadge?.().catch(() => {});
      keep(key, "");
      for (const notice of shown) notice.close();
      shown.clear();
    };
    const toggle = async () => {
      if (isOn) return forget(), set(false);
      if ((await Notification.requestPermission()) !== "granted") return alert("The browser does not allow notifications of this page.");
      keep(key, "on");
      set(true);
    };
    return { isSupported, isOn, toggle, forget };
  }, [isOn]);
}
