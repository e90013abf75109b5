import { StrictMode, useEffect, useState, type FormEvent } from "react";
import { createRoot } from "react-dom/client";
import { createSwitchboard } from "@switchboard/client";
import { idbOutbox } from "@switchboard/client/outbox-idb";
import { leader } from "@switchboard/client/tabs";
import { SwitchboardProvider, useConnection, useConversation, useConversations, useDraft, usePresence, useReadWhenVisible, useTyping } from "@switchboard/client/react";

const asked = new URLSearchParams(location.search);
const [me, other, service] = [asked.get("me") ?? "alice", asked.get("other") ?? "bob", asked.get("service") ?? "http://localhost:8700"];

const client = createSwitchboard({
  url: `${service.replace("http", "ws")}/v1`,
  token: async () => (await (await fetch(`${service}/dev/token?user=${me}`)).json()).token,
  outbox: idbOutbox(),
  ...(asked.has("tabs") && { tabs: leader() }),
});

function App() {
  const { state, error } = useConnection();
  const [{ unreadCount }, { online }] = [useConversations(), usePresence(other)];
  const [id, setId] = useState<string>();
  const isWaiting = state === "online" && !id;
  useEffect(() => {
    if (!isWaiting) return;
    const look = () => client.find(other).then(setId, () => {}); // Nobody is found before they have signed in once.
    const looking = setInterval(look, 1000);
    void look();
    return () => clearInterval(looking);
  }, [isWaiting]);
  return (
    <main>
      <h1>{other} {online ? "●" : "○"} {unreadCount > 0 && `(${unreadCount})`}</h1>
      <p role="status">{state === "online" ? "" : `${state} ${error?.message ?? ""}`}</p>
      {id && state !== "failed" ? <Conversation id={id} /> : <p>Waiting for {other} …</p>}
    </main>
  );
}

function Conversation({ id }: { id: string }) {
  const { messages, outgoing, send } = useConversation(id);
  const { typing, type, stop } = useTyping(id);
  const [draft, setDraft] = useDraft(id);
  const end = useReadWhenVisible(id);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (draft.trim()) send(draft).catch(() => {}); // It is shown as failed.
    setDraft("");
  };
  return (
    <form onSubmit={submit}>
      {messages.map(({ id, senderId, content, readAt }) => <p key={id}><b>{senderId}</b> {content} {senderId === me && (readAt ? "✓✓" : "✓")}</p>)}
      {outgoing.map(({ clientMessageId, content, state }) => <p key={clientMessageId}><b>{me}</b> {content} ({state})</p>)}
      <p ref={end}>{typing.map((who) => `${who} is typing …`)}</p>
      <input aria-label="Message" value={draft} onChange={({ target }) => (setDraft(target.value), type())} onBlur={stop} />
    </form>
  );
}

createRoot(document.getElementById("root")!).render(<StrictMode><SwitchboardProvider client={client}><App /></SwitchboardProvider></StrictMode>);
