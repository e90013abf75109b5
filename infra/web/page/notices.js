// What tells somebody of messages while they look elsewhere: the title, the badge, and notifications if they want them.

import { useEffect, useMemo, useState } from "../vendor/preact-htm.js";
import { DELETED, lastWordsOf, titleOf } from "./words.js";

const isSupported = typeof Notification === "function";

/** Shows notifications of messages that come while nobody looks, once the person has chosen that. */
export function useNotices({ chat, person, choose }) {
  const key = `switchboard notifications ${person.user}`;
  const [isOn, set] = useState(() => isSupported && localStorage.getItem(key) === "on" && Notification.permission === "granted");
  useEffect(() => {
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
  const notify = (summary) => {
    const body = summary.lastMessage.deletedAt ? DELETED : lastWordsOf(summary, chat.userId);
    const notice = new Notification(titleOf(summary), { body, tag: summary.id, icon: "icon.svg" });
    notice.onclick = () => {
      window.focus();
      choose(summary.id);
      notice.close();
    };
  };
  return useMemo(() => {
    const forget = () => {
      navigator.clearAppBadge?.().catch(() => {});
      localStorage.removeItem(key);
    };
    const toggle = async () => {
      if (isOn) return forget(), set(false);
      if ((await Notification.requestPermission()) !== "granted") return;
      localStorage.setItem(key, "on");
      set(true);
    };
    return { isSupported, isOn, toggle, forget };
  }, [isOn]);
}
