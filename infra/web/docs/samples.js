// Examples as programs: a frame or a request in several languages.

/** Where the service is that serves this page. */
export const service = {
  http: location.origin,
  ws: `${location.origin.replace(/^http/, "ws")}/v1`,
};

/** A frame with what names it first: the documents have their fields in the order of the alphabet. */
function ordered(frame) {
  const { action, type, id, ...rest } = frame;
  return { ...(action && { action }), ...(type && { type }), ...(id && { id }), ...rest };
}

export const pretty = (value) => JSON.stringify(ordered(value), null, 2);
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A value as Python writes it. */
function python(value, indent = "") {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map((one) => python(one, indent)).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  return `{\n${Object.entries(value).map(([name, one]) => `${inner}${JSON.stringify(name)}: ${python(one, inner)},\n`).join("")}${indent}}`;
}

/** What an application writes that uses the client. */
const CLIENT = {
  join_conversation: ({ conversationId }) => `// Joins, fetches the messages, and keeps them complete.\nconst room = await chat.conversation("${conversationId}");`,
  leave_conversation: () => "// When nobody holds the room any more, the client leaves the conversation.\nawait room.release();",
  send_message: ({ content }) => `// Repeats the frame with the same clientMessageId until it is stored.\nconst message = await room.send(${JSON.stringify(content)});`,
  edit_message: ({ content }) => `await room.edit(message, ${JSON.stringify(content)});`,
  delete_message: () => "await room.delete(message);",
  add_reaction: ({ reaction }) => `await room.react(message, ${JSON.stringify(reaction)});`,
  remove_reaction: ({ reaction }) => `await room.unreact(message, ${JSON.stringify(reaction)});`,
  mark_read: ({ upToSeq }) => `await room.markRead(${upToSeq});`,
  typing_start: () => "// On every key; the client sends the frame as often as it has to.\nroom.typing();",
  typing_stop: () => "room.stopTyping();",
  ping: () => "// The client sends pings by itself. For a button that tries the connection:\nchat.retry();",
  findOrCreateConversation: ({ otherUserId }) => `const conversationId = await chat.find("${otherUserId}");`,
  createConversation: ({ title, participantIds }) => `const conversationId = await chat.createGroup({\n  title: ${JSON.stringify(title)},\n  participantIds: ${JSON.stringify(participantIds)},\n});`,
  listConversations: () => "// Kept up to date; the next page:\nawait chat.loadMoreConversations();\nconsole.log(chat.conversations);",
  getConversation: () => "console.log(room.snapshot.summary);",
  listMessages: () => "// The newest are there. Older ones:\nawait room.older();\nconsole.log(room.snapshot.messages);",
  listChanges: () => "// The client fetches what it has missed by itself.\nconsole.log(room.snapshot.messages);",
  listParticipants: () => "const { participants, nextCursor } = await room.participants();",
  changeConversation: (body) => `await room.change(${JSON.stringify(body)});`,
  addParticipants: ({ userIds }) => `await room.add(${JSON.stringify(userIds)});`,
  setRole: ({ userId, role }) => `await room.setRole("${userId}", "${role}");`,
  removeParticipant: () => 'await room.remove("carol");',
  block: () => 'await chat.block("carol");',
  unblock: () => 'await chat.unblock("carol");',
  listBlocks: () => "const userIds = await chat.blocked();",
};

/** A frame in several languages. @param {any} example */
export function samplesOfFrame(example) {
  const frame = ordered(example);
  return {
    Raw: pretty(frame),
    Client: CLIENT[frame.action]?.(frame),
    Shell: `# websocat is a WebSocket client for the command line.\necho ${quoted(JSON.stringify(frame))} |\n  websocat --no-close "${service.ws}?token=$TOKEN"`,
    Python: `import json\nfrom websockets.sync.client import connect\n\nwith connect(f"${service.ws}?token={token}") as socket:\n    socket.send(json.dumps(${python(frame, "    ")}))\n    print(socket.recv())`,
  };
}

/** The path of a request with its example values. */
function pathOf({ path, parameters = [] }) {
  const valueOf = (name) => encodeURIComponent(parameters.find((one) => one.name === name)?.example ?? name);
  const query = parameters.filter((one) => one.in === "query" && one.example !== undefined).map(({ name, example }) => `${name}=${encodeURIComponent(example)}`);
  return path.replace(/\{(\w+)\}/g, (_, name) => valueOf(name)) + (query.length > 0 ? `?${query.join("&")}` : "");
}

/** A request as the console takes it. */
export const rawRequest = ({ method, path, body }) => `${method} ${path}${body ? `\n\n${pretty(body)}` : ""}`;

/** A request in several languages, and as the console takes it. */
export function samplesOfRequest({ id, method, path, operation }) {
  const body = operation.requestBody?.content["application/json"].example;
  const at = pathOf({ path, parameters: operation.parameters });
  const verb = method.toUpperCase();
  const isService = path.startsWith("/service");
  const curl = [
    `curl ${verb === "GET" ? "" : `-X ${verb} `}"${service.http}${at}"`,
    `-H "Authorization: Bearer ${isService ? "$SERVICE" : "$TOKEN"}"`,
    ...(body ? [`-H "Content-Type: application/json"`, `-d ${quoted(JSON.stringify(body))}`] : []),
  ];
  const Try = isService ? undefined : rawRequest({ method: verb, path: at, body });
  const raw = [`${verb} ${at} HTTP/1.1`, `Host: ${location.host}`, "Authorization: Bearer JWT"];
  const samples = {
    Raw: [...raw, ...(body ? ["Content-Type: application/json", "", pretty(body)] : [])].join("\n"),
    Client: isService ? undefined : CLIENT[id]?.(body ?? {}),
    curl: curl.join(" \\\n  "),
    Python: `import requests\n\nanswer = requests.${method}(\n    "${service.http}${at}",\n    headers={"Authorization": f"Bearer {token}"},\n${body ? `    json=${python(body, "    ")},\n` : ""})\nprint(answer.status_code, answer.text)`,
  };
  return { samples, Try };
}
