// The guides: what to do, in the order in which one needs it.

import { html } from "../vendor/preact-htm.js";
import { Code } from "./code.js";
import { service } from "./samples.js";

const link = (id, text = id) => html`<a href=${`#${id}`}><code>${text}</code></a>`;

/** Each with its id, its title and what it says. */
export const GUIDES = [
  {
    id: "quickstart",
    title: "Quickstart",
    text: () => html`
      <p>The package <code>@switchboard/client</code> is for browsers, Node 22 and later, and React. It has types and no dependencies.</p>
      <${Code} label="Install" text=${"npm install @switchboard/client"} />
      <${Code} label="Quickstart" text=${`import { createSwitchboard } from "@switchboard/client";

const chat = createSwitchboard({
  url: "${service.ws}",
  // Your backend signs tokens. cargo dev has a route for them.
  token: async () => (await (await fetch("${service.http}/dev/token?user=alice")).json()).token,
});
chat.on("message", ({ sender, content }) => console.log(sender.name ?? sender.id, content));
await chat.start();

const room = await chat.conversation(await chat.find("bob"));
await room.send("Hello, Bob!");`} />
      <p>Bob has to have connected once: run it as <code>bob</code> first, or open <a href="../">the chat</a> as Bob. With React, wrap your app in${" "}
        <code>SwitchboardProvider</code> and use <code>useConversation(id)</code>: see <a href="#reference">the reference</a> and the package's README, which has a whole app.</p>
    `,
  },
  {
    id: "tokens",
    title: "Tokens",
    text: () => html`
      <p>A token is a JSON Web Token. <code>sub</code> is the user, <code>exp</code> is required, and the profile comes from <code>name</code>, <code>nickname</code>${" "}
        and <code>picture</code>. It is signed with a shared secret (HS256) or with a key of your identity provider, whose key set the service fetches.</p>
      <p>For the WebSocket it is in the query string, since browsers cannot set headers there, or in the header <code>Authorization</code>; for HTTP it is in that header.</p>
      <${Code} label="A token of cargo dev" text=${`TOKEN=$(cargo --quiet dev token alice --name "Alice Example")
curl -H "Authorization: Bearer $TOKEN" "${service.http}/api/conversations"`} />
      <p>A frame after the token has expired has no effect: ${link("error-token_expired", "token_expired")} comes, and the connection is closed. The client asks
        for the next token before that, and opens the next connection before it closes the old one. Tokens that were issued before a user was${" "}
        ${link("service-closeConnections", "shut out")} are refused everywhere.</p>
    `,
  },
  {
    id: "reconnecting",
    title: "Reconnecting and gaps",
    text: () => html`
      <p>The client does all of this. Without it:</p>
      <ul>
        <li>A connection lasts two hours at most, and ten minutes without a frame. Open the next one before, join there, then close this one.</li>
        <li>Send ${link("ping")} every 4 minutes. A connection without one counts as gone after 12; its next frame is answered with ${link("error-unavailable", "unavailable")}, and it is closed.</li>
        <li>A user has 20 connections at most: one more closes the oldest. A connection joins 100 conversations at most.</li>
        <li>Frames may come in any order. Order messages by <code>seq</code>, which has no gaps, and drop those whose <code>id</code> you have.</li>
        <li>${link("joined_conversation")} and ${link("pong")} tell <code>lastSeq</code> and <code>lastChange</code> of each conversation. If yours is less, fetch what is
          missing: messages with <code>after</code> of ${link("listMessages")}, edits, deletions and reactions with ${link("listChanges")}.</li>
        <li>After a failure wait, longer each time, and not exactly as long as all others.</li>
      </ul>
    `,
  },
  {
    id: "offline",
    title: "Offline",
    text: () => html`
      <p>A send is safe to repeat: the same <code>clientMessageId</code> stores one message, however often it is sent. Keep what is not answered yet, and send it again
        on the next connection, in order. An edit is safe to repeat with <code>ifChange</code>.</p>
      <${Code} label="An outbox" text=${`import { createSwitchboard } from "@switchboard/client";
import { idbOutbox } from "@switchboard/client/outbox-idb";
import { leader } from "@switchboard/client/tabs";

const chat = createSwitchboard({
  url, token,
  outbox: idbOutbox(), // keeps what is not stored yet over reloads
  tabs: leader(),      // one connection for all tabs of this user
});`} />
      <p><code>room.snapshot.outgoing</code> has what is on its way. A message that the service refuses stays there as <code>failed</code>, until${" "}
        <code>resend</code> or <code>discard</code>.</p>
    `,
  },
  {
    id: "backend",
    title: "From your backend",
    text: () => html`
      <p>A backend makes users and conversations, sends messages, moderates and erases users at <code>/service</code>, with a service token: its <code>scope</code> holds${" "}
        <code>switchboard:service</code>, and its <code>aud</code> is the audience of the service. The service API is closed unless that audience is configured.</p>
      <${Code} label="A backend sends a message" text=${`export JWT_ISSUER=https://example.com SERVICE_AUDIENCE=switchboard-service
SERVICE=$(cargo --quiet dev token backend --service)
curl "${service.http}/service/conversations" \\
  -H "Authorization: Bearer $SERVICE" -H "Content-Type: application/json" \\
  -d '{"participantIds": ["shop", "carol"]}'`} />
      <p>With <code>EVENTS_URL</code> and <code>EVENTS_SECRET</code> it is told what happens: ${link("event", "events")} come at least once, in order within a
        conversation, signed as Standard Webhooks says. For a push notification take <code>switchboard.message.unread</code>: it comes if somebody has not read a
        message after a while.</p>
    `,
  },
];
