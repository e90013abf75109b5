// What the tests share that talk to a service: the real stack, whose URL is in STACK, or without that the one of
// @switchboard/client/testing. What either says is held against the documents.

import { randomUUID } from "node:crypto";
import { after } from "node:test";

import WebSocket from "ws";

import { createSwitchboard } from "./client/switchboard.js";
import { createTestService } from "./client/testing.js";
import { documented, documentedAnswer } from "./documented.mjs";

export const url = process.env.STACK;
export const memory = url ? undefined : createTestService();

/** What was said that is not as the documents say. */
export const undocumented = [];

function held(hold, ...said) {
  try {
    hold(...said);
  } catch (error) {
    undocumented.push(error.message);
  }
}

/** A WebSocket whose frames are all held against the document. */
const documenting = (Base) =>
  class extends Base {
    set onmessage(listener) {
      super.onmessage = listener && ((event) => (held(documented, "received", event.data), listener(event)));
    }

    send(text) {
      held(documented, "sent", text);
      super.send(text);
    }
  };

const documentingFetch = (fetch) => async (url, request) => {
  const answer = await fetch(url, request);
  const body = answer.status === 204 ? undefined : await answer.json();
  held(documentedAnswer, request.method, new URL(url).pathname, answer.status, body);
  return { ok: answer.ok, status: answer.status, json: async () => body };
};

/** A name that no other test uses. */
export const somebody = (name) => `${name}-${randomUUID().slice(0, 8)}`;

export async function tokenFor(user) {
  const answer = await fetch(`${url}/dev/token?${new URLSearchParams({ user, name: user })}`);
  return (await answer.json()).token;
}

/** The options for a client of a user. */
export function optionsOf(user) {
  const real = () => ({ url: `${url.replace("http", "ws")}/v1`, token: () => tokenFor(user), WebSocket, fetch });
  const options = memory?.options(user) ?? real();
  return { ...options, WebSocket: documenting(options.WebSocket), fetch: documentingFetch(options.fetch) };
}

/** A client that is connected. It is stopped at the end of the test, or of the file if no test runs. */
export async function connected(user) {
  const chat = createSwitchboard(optionsOf(user));
  after(() => chat.stop());
  await chat.start();
  return chat;
}

/** A conversation as the service has it for a user. */
export async function summaryOf(user, id) {
  const { url, token, fetch } = optionsOf(user);
  const headers = { authorization: `Bearer ${await token()}` };
  const answer = await fetch(`${url.replace(/^ws/, "http").replace(/\/v1$/, "")}/api/conversations/${id}`, { method: "GET", headers });
  return answer.json();
}

/** Ends all connections of a user, as API Gateway does when somebody deletes them. */
export async function cutOff(user) {
  if (memory) return memory.cutOff(user);
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
