//! The HTTP API as an OpenAPI 3.1 document.

use protocol::rest::{
    AddParticipants, Blocks, ChangeConversation, Changes, Conversation, ConversationPage, CreateConversation,
    Done, FindOrCreateConversation, FoundConversation, MessagePage, ParticipantCount, ParticipantPage,
    SetRole,
};
use serde_json::{Value, json};

use crate::http::{Answers, content, conversation_id, cursor, limit, place};
use crate::{Schemas, examples, info};

/// What the statuses of refusals mean.
const REFUSALS: [(&str, &str); 7] = [
    ("400", "A parameter or the body breaks a rule; the message names it and says why."),
    ("401", "There is no valid token."),
    (
        "403",
        "The caller takes no part in that conversation, or it does not exist: no telling which. Or only its \
            owners may do this.",
    ),
    ("404", "There is no such user, or they do not take part; the message says which."),
    ("429", "Too many requests."),
    ("500", "A mistake of the service."),
    ("503", "Something that the service needs is down; the same request may succeed later."),
];

/// The document.
pub fn document() -> Value {
    let mut schemas = Schemas::new();
    let answers = Answers::new(&mut schemas, &REFUSALS);
    let respond = |known: Value, statuses: &[&str]| answers.with_refusals(known, statuses);
    const ALWAYS: [&str; 4] = ["401", "429", "500", "503"];

    let list_conversations = json!({
        "operationId": "listConversations",
        "summary": "The caller's conversations, the one with the latest activity first",
        "parameters": [
            limit(),
            cursor(),
        ],
        "responses": respond(
            json!({ "200": { "description": "One page of them.",
                "content": content(&schemas.of_answer::<ConversationPage>()) } }),
            &[&ALWAYS[..], &["400"]].concat(),
        ),
    });
    let list_messages = json!({
        "operationId": "listMessages",
        "summary": "The messages of a conversation, oldest first",
        "description": "Without `before` and `after`: the newest. Marks all messages as read, unless \
            `markRead` is false.",
        "parameters": [
            conversation_id(),
            limit(),
            {
                "name": "before",
                "in": "query",
                "description": "The id of a message, or a `seq`: those just older than it. Not together with \
                    `after`.",
                "schema": place(),
            },
            {
                "name": "after",
                "in": "query",
                "description": "The id of a message, or a `seq`: those just newer than it.",
                "schema": place(),
            },
            {
                "name": "markRead",
                "in": "query",
                "description": "Whether all messages count as read.",
                "schema": { "type": "boolean", "default": true },
            },
        ],
        "responses": respond(
            json!({ "200": { "description": "One page of them.",
                "content": content(&schemas.of_answer::<MessagePage>()) } }),
            &[&ALWAYS[..], &["400", "403"]].concat(),
        ),
    });
    let found = content(&schemas.of_answer::<FoundConversation>());
    let find_or_create = json!({
        "operationId": "findOrCreateConversation",
        "summary": "The one conversation with another user",
        "description": "Safe when both sides ask at once. Stores the profile that the token tells.",
        "requestBody": {
            "required": true,
            "content": content(&schemas.of_request::<FindOrCreateConversation>()),
        },
        "responses": respond(
            json!({
                "200": { "description": "It was there.", "content": found },
                "201": { "description": "It was made.", "content": found },
            }),
            &[&ALWAYS[..], &["400", "404"]].concat(),
        ),
    });
    let conversation = content(&schemas.of_answer::<Conversation>());
    let body = |schema: Value| json!({ "required": true, "content": content(&schema) });
    let create = json!({
        "operationId": "createConversation",
        "summary": "Create a group",
        "description": "The caller is its owner. Stores the profile that the token tells.",
        "requestBody": body(schemas.of_request::<CreateConversation>()),
        "responses": respond(
            json!({
                "200": { "description": "A repeat of a `clientConversationId`: the group that it made.",
                    "content": conversation },
                "201": { "description": "It was made.", "content": conversation },
            }),
            &[&ALWAYS[..], &["400", "404"]].concat(),
        ),
    });
    let get = json!({
        "operationId": "getConversation",
        "summary": "A conversation",
        "parameters": [conversation_id()],
        "responses": respond(
            json!({ "200": { "description": "The conversation as the caller sees it.",
                "content": conversation } }),
            &[&ALWAYS[..], &["400", "403"]].concat(),
        ),
    });
    let change = json!({
        "operationId": "changeConversation",
        "summary": "Change the title or the avatar of a group",
        "description": "Only owners may. A field that is absent stays as it is.",
        "parameters": [conversation_id()],
        "requestBody": body(schemas.of_request::<ChangeConversation>()),
        "responses": respond(
            json!({ "200": { "description": "The conversation as it is then.", "content": conversation } }),
            &[&ALWAYS[..], &["400", "403"]].concat(),
        ),
    });
    let list_changes = json!({
        "operationId": "listChanges",
        "summary": "What has changed in a conversation since a change",
        "description": "The conversation, and each message that has changed since, once and as it is now, in \
            the order of their latest changes. Marks nothing as read.",
        "parameters": [
            conversation_id(),
            limit(),
            {
                "name": "after",
                "in": "query",
                "description": "The `lastChange` of an earlier answer, or the last `change` that is known \
                    without gaps.",
                "schema": { "type": "integer", "minimum": 0, "default": 0 },
            },
        ],
        "responses": respond(
            json!({ "200": { "description": "One page of them.",
                "content": content(&schemas.of_answer::<Changes>()) } }),
            &[&ALWAYS[..], &["400", "403"]].concat(),
        ),
    });
    let list_participants = json!({
        "operationId": "listParticipants",
        "summary": "The participants of a conversation, by their ids",
        "parameters": [
            conversation_id(),
            limit(),
            cursor(),
        ],
        "responses": respond(
            json!({ "200": { "description": "One page of them.",
                "content": content(&schemas.of_answer::<ParticipantPage>()) } }),
            &[&ALWAYS[..], &["400", "403"]].concat(),
        ),
    });
    let add_participants = json!({
        "operationId": "addParticipants",
        "summary": "Add participants to a group",
        "description": "Only owners may. Who takes part already stays as they are. They see the messages \
            that come after.",
        "parameters": [conversation_id()],
        "requestBody": body(schemas.of_request::<AddParticipants>()),
        "responses": respond(
            json!({ "200": { "description": "How many there are then.",
                "content": content(&schemas.of_answer::<ParticipantCount>()) } }),
            &[&ALWAYS[..], &["400", "403", "404"]].concat(),
        ),
    });
    let set_role = json!({
        "operationId": "setRole",
        "summary": "Set the role of a participant of a group",
        "description": "Only owners may. The only owner stays one.",
        "parameters": [conversation_id()],
        "requestBody": body(schemas.of_request::<SetRole>()),
        "responses": respond(
            json!({ "200": { "description": "The role is set.",
                "content": content(&schemas.of_answer::<Done>()) } }),
            &[&ALWAYS[..], &["400", "403", "404"]].concat(),
        ),
    });
    let remove_participant = json!({
        "operationId": "removeParticipant",
        "summary": "Remove a participant from a group, or leave it",
        "description": "Owners remove others, and everybody may leave, except the only owner while others \
            take part. With the last participant the conversation and its messages are deleted.",
        "parameters": [
            conversation_id(),
            {
                "name": "userId",
                "in": "query",
                "required": true,
                "description": "The participant.",
                "schema": schemas.of_request::<domain::UserId>(),
            },
        ],
        "responses": respond(
            json!({ "204": { "description": "They do not take part, or did not before." } }),
            &[&ALWAYS[..], &["400", "403"]].concat(),
        ),
    });
    let user_id = |description: &str, schemas: &mut Schemas| {
        json!({
            "name": "userId",
            "in": "query",
            "required": true,
            "description": description,
            "schema": schemas.of_request::<domain::UserId>(),
        })
    };
    let list_blocks = json!({
        "operationId": "listBlocks",
        "summary": "The users whom the caller blocks",
        "responses": respond(
            json!({
                "200": { "description": "All of them.", "content": content(&schemas.of_answer::<Blocks>()) },
            }),
            &ALWAYS,
        ),
    });
    let block = json!({
        "operationId": "block",
        "summary": "Block a user",
        "description": "Their conversation of two is closed to both: no messages, edits, reactions or joins. \
            Neither sees the presence, the typing or the receipts of the other anywhere. They cannot add the \
            caller to a group.",
        "parameters": [user_id("The user.", &mut schemas)],
        "responses": respond(
            json!({ "204": { "description": "They are blocked, or were before." } }),
            &[&ALWAYS[..], &["400", "404"]].concat(),
        ),
    });
    let unblock = json!({
        "operationId": "unblock",
        "summary": "Block a user no longer",
        "parameters": [user_id("The user.", &mut schemas)],
        "responses": respond(
            json!({ "204": { "description": "They are not blocked, or were not before." } }),
            &[&ALWAYS[..], &["400", "404"]].concat(),
        ),
    });
    let mut document = json!({
        "openapi": "3.1.0",
        "info": info(
            "Switchboard's HTTP API",
            "Conversations and their history. What happens meanwhile is told over the WebSocket; see \
                asyncapi.json.",
        ),
        "servers": [{ "url": "http://localhost:8700", "description": "cargo dev" }],
        "security": [{ "token": [] }],
        "paths": {
            "/api/blocks": { "get": list_blocks, "put": block, "delete": unblock },
            "/api/conversations": { "get": list_conversations, "post": create },
            "/api/conversations/find-or-create": { "post": find_or_create },
            "/api/conversations/{conversationId}": { "get": get, "patch": change },
            "/api/conversations/{conversationId}/messages": { "get": list_messages },
            "/api/conversations/{conversationId}/changes": { "get": list_changes },
            "/api/conversations/{conversationId}/participants": {
                "get": list_participants,
                "post": add_participants,
                "patch": set_role,
                "delete": remove_participant,
            },
        },
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "`sub` is the user; `exp` is required.",
                },
            },
            "schemas": schemas.into_definitions(),
        },
    });
    examples::add_requests(&mut document, &examples::all()["requests"]);
    document
}
