// The origin design: the design that this project started from, as a Node developer would build and tune it. One process
// holds the sockets (Socket.IO), the presence and the HTTP API (Express), and reaches Postgres through Prisma.
//
//     DATABASE_URL=… JWT_SECRET=… PORT=… node server.mjs
//
// It does what the benchmark asks, with answers like Switchboard's. It has no `seq`, idempotent sends, rate limits, leases,
// cursors of the list, typing or announcements of presence.

import { createSecretKey } from "node:crypto";
import { createServer } from "node:http";

import { PrismaPg } from "@prisma/adapter-pg";
import express from "express";
import jwt from "jsonwebtoken";
import { Server } from "socket.io";
import { PrismaClient } from "origin-client";

const { DATABASE_URL, JWT_SECRET, PORT } = process.env;
const key = createSecretKey(Buffer.from(JWT_SECRET));
const verified = (token) => jwt.verify(token ?? "", key, { algorithms: ["HS256"] });

// Each statement is prepared once on each connection, and connections stay open.
const names = new Map();
const statementNameGenerator = ({ sql }) => names.get(sql) ?? names.set(sql, `s${names.size}`).get(sql);
const pool = { connectionString: DATABASE_URL, max: 10, idleTimeoutMillis: 0 };
const prisma = new PrismaClient({ adapter: new PrismaPg(pool, { statementNameGenerator }) });

const userRoom = (id) => `user:${id}`;
const conversationRoom = (id) => `conversation:${id}`;
const takesPart = (userId) => ({ OR: [{ firstUserId: userId }, { secondUserId: userId }] });
const otherOf = (conversation, userId) => (conversation.firstUserId === userId ? conversation.secondUserId : conversation.firstUserId);

const app = express();
app.disable("x-powered-by");
app.disable("etag");
app.use(express.json());
app.use("/api", (request, response, next) => {
  try {
    request.userId = verified(request.headers.authorization?.slice("Bearer ".length)).sub;
    next();
  } catch {
    response.status(401).json({ error: { code: "unauthenticated", message: "no valid token" } });
  }
});

app.get("/api/conversations", async ({ userId }, response) => {
  const [conversations, unread] = await Promise.all([
    prisma.conversation.findMany({
      relationLoadStrategy: "join",
      where: takesPart(userId),
      orderBy: { lastMessageAt: { sort: "desc", nulls: "last" } },
      take: 50,
      include: { firstUser: true, secondUser: true, messages: { orderBy: { createdAt: "desc" }, take: 1, include: { sender: true } } },
    }),
    prisma.message.groupBy({
      by: ["conversationId"],
      where: { readAt: null, senderId: { not: userId }, conversation: takesPart(userId) },
      _count: { _all: true },
    }),
  ]);
  const counts = new Map(unread.map(({ conversationId, _count }) => [conversationId, _count._all]));
  response.json({
    conversations: conversations.map(({ id, firstUserId, firstUser, secondUser, messages, lastMessageAt }) => {
      const other = firstUserId === userId ? secondUser : firstUser;
      return {
        id,
        otherUser: { ...other, online: io.sockets.adapter.rooms.has(userRoom(other.id)), lastSeenAt: null },
        lastMessage: messages[0] ?? null,
        lastMessageAt,
        unreadCount: counts.get(id) ?? 0,
      };
    }),
    nextCursor: null,
  });
});

app.get("/api/conversations/:id/messages", async ({ userId, params: { id }, query: { before } }, response) => {
  const conversation = await prisma.conversation.findFirst({ where: { id, ...takesPart(userId) } });
  if (!conversation) return response.status(403).json({ error: { code: "forbidden", message: "no conversation of yours" } });
  const [messages, { count }] = await Promise.all([
    prisma.message.findMany({
      relationLoadStrategy: "join",
      where: { conversationId: id },
      orderBy: [{ createdAt: "desc" }, { id: "desc" }],
      take: 51,
      ...(before ? { cursor: { id: before }, skip: 1 } : {}),
      include: { sender: true },
    }),
    prisma.message.updateMany({ where: { conversationId: id, senderId: otherOf(conversation, userId), readAt: null }, data: { readAt: new Date() } }),
  ]);
  if (count > 0) {
    const read = { conversationId: id, readerId: userId, readAt: new Date() };
    io.to([userRoom(conversation.firstUserId), userRoom(conversation.secondUserId)]).emit("messages_read", read);
  }
  response.json({ messages: messages.slice(0, 50).reverse(), hasMore: messages.length > 50 });
});

app.post("/api/conversations/find-or-create", async ({ userId, body: { otherUserId } }, response) => {
  const [firstUserId, secondUserId] = [userId, otherUserId].sort();
  const pair = { firstUserId_secondUserId: { firstUserId, secondUserId } };
  const found = await prisma.conversation.findUnique({ where: pair, select: { id: true } });
  if (found) return response.json({ conversationId: found.id });
  // Both sides may ask at once.
  const made = await prisma.conversation.upsert({ where: pair, create: { firstUserId, secondUserId }, update: {}, select: { id: true } });
  response.status(201).json({ conversationId: made.id });
});

const http = createServer(app);
const io = new Server(http, { transports: ["websocket"], serveClient: false });

io.use((socket, next) => {
  try {
    const { sub, name = null } = verified(socket.handshake.auth.token);
    socket.data = { userId: sub, name };
    next();
  } catch {
    next(new Error("unauthenticated"));
  }
});

io.on("connection", (socket) => {
  const { userId, name } = socket.data;
  const known = prisma.user.upsert({ where: { id: userId }, create: { id: userId, name }, update: { name } });
  known.catch(() => {});
  socket.join(userRoom(userId));

  // A handler that fails answers, as the others do.
  const on = (event, handle) =>
    socket.on(event, (data, answer) => {
      known.then(() => handle(data)).then(answer, (error) => answer({ error: { code: error.code ?? "internal", message: error.message } }));
    });

  const conversationOf = async (id) => {
    const conversation = await prisma.conversation.findFirst({ where: { id, ...takesPart(userId) } });
    if (!conversation) throw Object.assign(new Error("no conversation of yours"), { code: "forbidden" });
    return conversation;
  };

  on("join_conversation", async ({ conversationId }) => {
    const { firstUserId, secondUserId } = await conversationOf(conversationId);
    socket.join(conversationRoom(conversationId));
    const onlineUserIds = [firstUserId, secondUserId].filter((id) => io.sockets.adapter.rooms.has(userRoom(id)));
    return { conversationId, onlineUserIds };
  });

  on("send_message", async ({ conversationId, content }) => {
    if (typeof content !== "string" || content.trim() === "" || content.length > 2000) {
      throw Object.assign(new Error("content: 1 to 2000 characters"), { code: "invalid_request" });
    }
    const conversation = await conversationOf(conversationId);
    // One transaction, so that the list never lacks a message that history has.
    const [stored] = await prisma.$transaction([
      prisma.message.create({ data: { conversationId, senderId: userId, content } }),
      prisma.conversation.update({ where: { id: conversationId }, data: { lastMessageAt: new Date() }, select: { id: true } }),
    ]);
    const message = { ...stored, sender: await known };
    const room = conversationRoom(conversationId);
    socket.to(room).emit("new_message", message);
    const other = otherOf(conversation, userId);
    const { rooms } = io.sockets.adapter;
    const joined = rooms.get(room);
    // Counted only if the other user has a connection that has not joined.
    if ([...(rooms.get(userRoom(other)) ?? [])].some((id) => !joined?.has(id))) {
      const unreadCount = await prisma.message.count({ where: { conversationId, senderId: userId, readAt: null } });
      io.to(userRoom(other)).except(room).emit("conversation_updated", { conversationId, lastMessage: message, unreadCount });
    }
    return message;
  });
});

http.listen(Number(PORT ?? 0), "127.0.0.1", () => console.log(`ready ${http.address().port}`));
// Whoever started it ends it by closing its standard input.
process.stdin.resume().on("end", () => process.exit(0));
