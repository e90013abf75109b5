// The shapes that the service and this client share. Nothing of this file runs.

// @ts-check

/**
 * @typedef {{id: string, name: string | null, displayName: string | null, avatarUrl: string | null}} User
 * @typedef {User & {online: boolean, lastSeenAt: string | null}} OtherUser
 * @typedef {"owner" | "member"} Role
 * @typedef {Readonly<{reaction: string, count: number, userIds: readonly string[]}>} Reaction
 * @typedef {Readonly<Record<string, unknown>>} Metadata
 */

/**
 * A message as it is stored. Times are RFC 3339; `deletedAt` tells that what it said is gone.
 *
 * @typedef {object} MessageFields
 * @property {string} id
 * @property {string} conversationId
 * @property {number} seq 1, 2, 3 and so on in its conversation
 * @property {string} senderId
 * @property {Readonly<User>} sender
 * @property {string} content
 * @property {string | null} clientMessageId
 * @property {string} createdAt
 * @property {string | null} readAt when the other one has read it; null in groups
 * @property {string | null} replyTo the id of the message that it answers
 * @property {Metadata | null} metadata data of the application
 * @property {readonly Reaction[]} reactions
 * @property {string | null} editedAt
 * @property {string | null} deletedAt
 * @property {number | null} change the number of its last change in its conversation
 */

/** @typedef {Readonly<MessageFields>} Message */

/**
 * A conversation in the list. `otherUser` is null in a group, `title` and `avatarUrl` in a conversation of two.
 *
 * @typedef {object} SummaryFields
 * @property {string} id
 * @property {"direct" | "group"} kind
 * @property {string | null} title
 * @property {string | null} avatarUrl
 * @property {Role} role
 * @property {number} participantCount
 * @property {OtherUser | null} otherUser
 * @property {Message | null} lastMessage
 * @property {string | null} lastMessageAt
 * @property {number} firstSeq the `seq` of the first message that this user sees
 * @property {number} lastSeq
 * @property {number} lastChange
 * @property {number} unreadCount
 */

/** @typedef {Readonly<SummaryFields>} Summary */

/**
 * A message on its way. One that has failed stays until `resend` or `discard`.
 *
 * @typedef {object} OutgoingFields
 * @property {string} clientMessageId
 * @property {string} conversationId
 * @property {string} content
 * @property {string} [replyTo]
 * @property {Metadata} [metadata]
 * @property {"pending" | "failed"} state
 * @property {import("./errors.js").SwitchboardError} [error] why it has failed
 */

/** @typedef {Readonly<OutgoingFields>} Outgoing */

/**
 * @typedef {{user: User, role: Role, joinedAt: string, readUpToSeq: number, online: boolean, lastSeenAt: string | null}} Participant
 * @typedef {{conversationId: string, added: string[], removed: string[], roles: {userId: string, role: Role}[],
 *   participantCount: number, lastChange: number}} RosterChange
 * @typedef {{userId: string, online: boolean, lastSeenAt: string | null}} Presence
 * @typedef {{conversationId: string, userId: string, typing: boolean}} Typing
 */

/**
 * The connection to the service. `connecting` lasts until the first one is open, `reconnecting` until the next one is. `failed`
 * is the end: only another `start` tries again.
 *
 * @typedef {object} ConnectionState
 * @property {"idle" | "connecting" | "online" | "reconnecting" | "failed"} state
 * @property {import("./errors.js").SwitchboardError} [error] why the last attempt failed
 * @property {number} [retryAt] when the next attempt is made, in milliseconds since 1970
 */

/**
 * What a conversation shows. It is never changed: after an event there is another one.
 *
 * @typedef {object} RoomSnapshot
 * @property {string} id
 * @property {Summary | undefined} summary
 * @property {readonly Message[]} messages in order and without gaps, with the changes that this user has asked for
 * @property {readonly Outgoing[]} outgoing this user's messages that are not stored yet, in the order in which they were sent
 * @property {boolean} hasOlder whether there are messages before those
 * @property {readonly string[]} typing the ids of the others who are typing
 * @property {number | null} firstUnreadSeq the `seq` of the first message that this user has not read, or of the first that is
 *   here if that is later
 * @property {boolean} isGone whether this user does not take part any more
 */

/**
 * What an application tells of itself where there is no `document`, such as in React Native.
 *
 * @typedef {object} Lifecycle
 * @property {() => boolean} isVisible whether somebody looks at it
 * @property {(look: () => void) => () => void} subscribe calls `look` whenever somebody has come back to it or the network has
 *   changed; returns the function that ends this
 */

/**
 * Keeps what is not stored yet, so that it survives this process.
 *
 * @typedef {object} OutboxStore
 * @property {(userId: string, adopt: (left: Outgoing[]) => void) => Promise<void>} open opens what is kept of a user, and calls
 *   `adopt` with the messages that processes which have ended left, now and whenever another one ends
 * @property {(outgoing: Outgoing) => Promise<void>} put keeps a message, or its new state
 * @property {(clientMessageId: string) => Promise<void>} delete
 * @property {() => void} close
 */

/**
 * @typedef {(WebSocketClass: typeof WebSocket) => typeof WebSocket} Tabs makes the connections of this tab those of others too
 */

/**
 * @typedef {object} Options
 * @property {string} url where the WebSocket API is, as `wss://host/stage`
 * @property {string | undefined} [api] where the HTTP API is, as `https://host`; by default at the host of `url`
 * @property {() => string | Promise<string>} token gets a token that is valid now; asked again before one expires. If it throws a
 *   `SwitchboardError` with the code `unauthenticated`, the client stops; after other errors it asks again
 * @property {OutboxStore | undefined} [outbox] keeps messages over reloads: see `@switchboard/client/outbox-idb`
 * @property {Tabs | undefined} [tabs] shares one connection between tabs: see `@switchboard/client/tabs`
 * @property {number | undefined} [pingEveryMs] how long nothing may come before the connection is tried, while somebody looks; 30,000 by default
 * @property {Lifecycle | undefined} [lifecycle] by default the page's own
 * @property {AbortSignal | undefined} [signal] stops the client
 * @property {typeof WebSocket | undefined} [WebSocket] another implementation than the global one
 * @property {typeof fetch | undefined} [fetch] likewise
 * @property {(() => number) | undefined} [random] likewise, from 0 to 1
 */

/**
 * The events and what listeners get.
 *
 * @typedef {object} EventMap
 * @property {ConnectionState} connection its state has changed
 * @property {undefined} conversations the list has changed, or something in it
 * @property {Message} message a message that is new in a conversation that is open; in order, each once
 * @property {Outgoing} outgoing a message on its way has another state, or has arrived
 * @property {RosterChange} participants a group of this user has changed, also when that adds or removes them
 * @property {string} gone the id of a conversation in which this user does not take part any more
 * @property {Presence} presence somebody has come or gone
 * @property {Typing} typing somebody has begun to type or has stopped
 * @property {import("./errors.js").SwitchboardError} problem an error that nobody waits for
 */

export {};
