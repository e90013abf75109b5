// What the tests with the real stack share. Its URL is in STACK.

import { randomUUID } from "node:crypto";

import WebSocket from "ws";

import { createSwitchboard } from "./client/switchboard.js";
import { documented } from "./documented.mjs";

export const url = process.env.STACK;

/** A WebSocket whose frames are all held against the document. */
class DocumentedWebSocket extends WebSocket {
  constructor(url) {
    super(url);
    this.on("message", (data) => documented("received", data.toString()));
  }

  send(text) {
    documented("sent", text);
    super.send(text);
  }
}

/** A name that no other test uses. */
export const somebody = (name) => `${name}-${randomUUID().slice(0, 8)}`;

export async function tokenFor(user) {
  const answer = await fetch(`${url}/dev/token?${new URLSearchParams({ user, name: user })}`);
  return (await answer.json()).token;
}

/** A client that is connected. */
export async function connected(user) {
  const chat = createSwitchboard({ url: `${url.replace("http", "ws")}/v1`, token: () => tokenFor(user), WebSocket: DocumentedWebSocket });
  await chat.start();
  return chat;
}

/** Ends all connections of a user, as API Gateway does when somebody deletes them. */
export async function cutOff(user) {
  const { connections } = await (await fetch(`${url}/dev/connections`)).json();
  const theirs = connections.filter(({ authorizer }) => authorizer.userId === user);
  for (const { stage, connectionId } of theirs) {
    await fetch(`${url}/${stage}/@connections/${encodeURIComponent(connectionId)}`, { method: "DELETE" });
  }
  return theirs.length;
}

/** Waits until something is so. */
export async function until(what, isSo) {
  const deadline = Date.now() + 30_000;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`it never was so: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
