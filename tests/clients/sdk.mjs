// `ws` and a browser connect, the AWS SDK for JavaScript posts to, reads and deletes the connection. Takes the stack's port.

import assert from "node:assert/strict";
import { once } from "node:events";

import {
  ApiGatewayManagementApiClient,
  DeleteConnectionCommand,
  GetConnectionCommand,
  GoneException,
  PostToConnectionCommand,
} from "@aws-sdk/client-apigatewaymanagementapi";
import { chromium } from "playwright-core";
import WebSocket from "ws";

const port = process.argv[2];
const url = `ws://127.0.0.1:${port}/main`;
const api = new ApiGatewayManagementApiClient({
  endpoint: `http://127.0.0.1:${port}/main`,
  region: "us-east-1",
  credentials: { accessKeyId: "any", secretAccessKey: "key" },
});

/** The next text frame. */
async function next(socket) {
  const [data] = await once(socket, "message", { signal: AbortSignal.timeout(10_000) });
  return data.toString();
}

async function withWs() {
  const socket = new WebSocket(url);
  await once(socket, "open");
  socket.send(JSON.stringify({ action: "echo" }));
  const ConnectionId = JSON.parse(await next(socket)).requestContext.connectionId;

  const pushed = next(socket);
  await api.send(new PostToConnectionCommand({ ConnectionId, Data: "from the SDK ✓" }));
  assert.equal(await pushed, "from the SDK ✓");

  const described = await api.send(new GetConnectionCommand({ ConnectionId }));
  assert.equal(described.Identity.SourceIp, "127.0.0.1");
  assert(described.ConnectedAt <= described.LastActiveAt);

  const closed = once(socket, "close");
  await api.send(new DeleteConnectionCommand({ ConnectionId }));
  const [code, reason] = await closed;
  assert.deepEqual([code, reason.toString()], [1000, "Connection Closed Normally"]);
  await assert.rejects(api.send(new PostToConnectionCommand({ ConnectionId, Data: "late" })), GoneException);
  console.log("ok: ws and the AWS SDK for JavaScript");
}

async function withBrowser() {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${port}/echo`);
    const seen = await page.evaluate(async (url) => {
      const next = (socket, name) => new Promise((resolve) => socket.addEventListener(name, resolve, { once: true }));
      const answer = { statusCode: 200, headers: { "Sec-WebSocket-Protocol": "two" } };
      const socket = new WebSocket(`${url}?answer=${encodeURIComponent(JSON.stringify(answer))}`, ["one", "two"]);
      await next(socket, "open");
      socket.send(JSON.stringify({ action: "echo", text: "ü" }));
      const event = JSON.parse((await next(socket, "message")).data);
      socket.close(4000, "done");
      const closed = await next(socket, "close");
      const refused = new WebSocket(`${url}?answer={"statusCode":401}`);
      const { code } = await next(refused, "close");
      return { protocol: socket.protocol, body: event.body, closed: [closed.code, closed.reason], refused: code };
    }, url);
    assert.deepEqual(seen, {
      protocol: "two",
      body: '{"action":"echo","text":"ü"}',
      closed: [4000, "done"],
      refused: 1006,
    });
    console.log(`ok: Chromium ${browser.version()}`);
  } finally {
    await browser.close();
  }
}

await withWs();
await withBrowser();
