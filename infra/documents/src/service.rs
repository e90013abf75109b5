//! The service API as an OpenAPI 3.1 document.

use protocol::rest::{AddParticipants, Done, ParticipantCount, SetRole};
use protocol::service::{Closed, Conversation, Exported, MakeConversation, SendMessage, SetUser};
use protocol::webhook::CloudEvent;
use protocol::{Message, User};
use serde_json::{Value, json};

use crate::http::{Answers, content, conversation_id, cursor};
use crate::{Schemas, examples, info};

/// What the statuses of refusals mean.
const REFUSALS: [(&str, &str); 7] = [
    ("400", "A parameter or the body breaks a rule; the message names it and says why."),
    ("401", "There is no valid token."),
    (
        "403",
        "The token is a user's, or the service API is closed. Or the conversation of two is: one of them has \
            blocked the other, or is erased.",
    ),
    ("404", "There is no such thing; the message says which field names it."),
    ("429", "Too many requests."),
    ("500", "A mistake of the service."),
    ("503", "Something that the service needs is down; the same request may succeed later."),
];

/// The document.
pub fn document() -> Value {
    let mut schemas = Schemas::new();
    let answers = Answers::new(&mut schemas, &REFUSALS);
    const ALWAYS: [&str; 6] = ["400", "401", "403", "429", "500", "503"];
    const OR_NOT_FOUND: [&str; 7] = ["400", "401", "403", "404", "429", "500", "503"];
    let respond = |known: Value| answers.with_refusals(known, &ALWAYS);
    let respond_or_404 = |known: Value| answers.with_refusals(known, &OR_NOT_FOUND);
    let answer =
        |description: &str, schema: Value| json!({ "description": description, "content": content(&schema) });
    let body = |schema: Value| json!({ "required": true, "content": content(&schema) });
    let user_id = json!({
        "name": "userId",
        "in": "query",
        "required": true,
        "description": "The user.",
        "schema": schemas.of_request::<domain::UserId>(),
    });
    let user = schemas.of_answer::<User>();
    let conversation = schemas.of_answer::<Conversation>();
    let message = schemas.of_answer::<Message>();

    let set_user = json!({
        "operationId": "setUser",
        "summary": "Make a user, or set fields of their profile",
        "description": "A field that was set or cleared here is not changed any more by what tokens say.",
        "parameters": [user_id],
        "requestBody": body(schemas.of_request::<SetUser>()),
        "responses": respond(json!({ "200": answer("The user as they are then.", user) })),
    });
    let export_user = json!({
        "operationId": "exportUser",
        "summary": "What a user did and is",
        "description": "Their profile, participations, blocks, messages and reactions, in pages. It holds no \
            text of others.",
        "parameters": [user_id, cursor()],
        "responses": respond_or_404(json!({
            "200": answer("One page of it.", schemas.of_answer::<Exported>()),
        })),
    });
    let erase_user = json!({
        "operationId": "eraseUser",
        "summary": "Erase a user",
        "description": "Refuses their tokens and closes their connections first. Then their profile, what \
            they have said, their reactions, blocks, participations and undelivered events are gone. Their \
            messages keep their places, without content; a conversation of two stays readable for the other \
            one, and takes no more messages. Works for 10 s at most: repeat it until the answer is 200.",
        "parameters": [user_id],
        "responses": respond(json!({
            "200": answer("Nothing of them is left, or nobody was there.", schemas.of_answer::<Done>()),
            "202": answer("There is more to erase: repeat the request.", schemas.of_answer::<Done>()),
        })),
    });
    let close_connections = json!({
        "operationId": "closeConnections",
        "summary": "Refuse the tokens of a user, and close their connections",
        "description": "Refused from then on is every token whose `iat` is missing or not after this second: \
            at the handshake and over HTTP. The user need not be known.",
        "parameters": [user_id],
        "responses": respond(json!({
            "200": answer("How many connections were closed.", schemas.of_answer::<Closed>()),
        })),
    });
    let make_conversation = json!({
        "operationId": "makeConversation",
        "summary": "Make a conversation",
        "description": "With a title: a group. Without one: the conversation of two participants, of which \
            there is one. Users who are not there yet are made.",
        "requestBody": body(schemas.of_request::<MakeConversation>()),
        "responses": respond(json!({
            "200": answer("It was there.", conversation.clone()),
            "201": answer("It was made.", conversation),
        })),
    });
    let add_participants = json!({
        "operationId": "addParticipants",
        "summary": "Add participants to a group",
        "description": "Who takes part already stays as they are. They see the messages that come after.",
        "parameters": [conversation_id()],
        "requestBody": body(schemas.of_request::<AddParticipants>()),
        "responses": respond_or_404(json!({
            "200": answer("How many there are then.", schemas.of_answer::<ParticipantCount>()),
        })),
    });
    let set_role = json!({
        "operationId": "setRole",
        "summary": "Set the role of a participant of a group",
        "description": "A group may be left without owners: then only the service changes it.",
        "parameters": [conversation_id()],
        "requestBody": body(schemas.of_request::<SetRole>()),
        "responses": respond_or_404(json!({
            "200": answer("The role is set.", schemas.of_answer::<Done>()),
        })),
    });
    let remove_participant = json!({
        "operationId": "removeParticipant",
        "summary": "Remove a participant from a group",
        "description": "With the last participant the conversation and its messages are deleted.",
        "parameters": [conversation_id(), user_id],
        "responses": respond_or_404(json!({
            "204": { "description": "They do not take part, or did not before." },
        })),
    });
    let send_message = json!({
        "operationId": "sendMessage",
        "summary": "Send a message in the name of a participant",
        "description": "It is pushed like any other. No limit of messages a minute applies.",
        "parameters": [conversation_id()],
        "requestBody": body(schemas.of_request::<SendMessage>()),
        "responses": respond_or_404(json!({
            "200": answer("A repeat of a `clientMessageId`: the message as it is stored.", message.clone()),
            "201": answer("It is stored.", message.clone()),
        })),
    });
    let delete_message = json!({
        "operationId": "deleteMessage",
        "summary": "Delete a message",
        "description": "It keeps its place, without what it said. It may be repeated.",
        "parameters": [{
            "name": "messageId",
            "in": "path",
            "required": true,
            "schema": { "type": "string", "format": "uuid" },
        }],
        "responses": respond_or_404(json!({ "200": answer("The message as it is then.", message) })),
    });
    let event = schemas.of_answer::<CloudEvent>();
    let header = |name: &str, description: &str| {
        json!({
            "name": name,
            "in": "header",
            "required": true,
            "description": description,
            "schema": { "type": "string" },
        })
    };
    let mut document = json!({
        "openapi": "3.1.0",
        "info": info(
            "Switchboard's service API",
            "For backends: users, conversations and messages, without the rights that users need.",
        ),
        "servers": [{ "url": "http://localhost:8700", "description": "cargo dev" }],
        "security": [{ "serviceToken": [] }],
        "paths": {
            "/service/users": { "put": set_user, "delete": erase_user },
            "/service/users/export": { "get": export_user },
            "/service/connections": { "delete": close_connections },
            "/service/conversations": { "post": make_conversation },
            "/service/conversations/{conversationId}/participants": {
                "post": add_participants,
                "patch": set_role,
                "delete": remove_participant,
            },
            "/service/conversations/{conversationId}/messages": { "post": send_message },
            "/service/messages/{messageId}": { "delete": delete_message },
        },
        "webhooks": {
            "event": {
                "post": {
                    "operationId": "event",
                    "summary": "An event",
                    "description": "To `EVENTS_URL`: a CloudEvent, signed as Standard Webhooks says. At \
                        least once, in order within a conversation. Any 2xx takes it; everything else is \
                        tried again for three days. The body of the answer is ignored, and redirects are not \
                        followed.",
                    "security": [],
                    "parameters": [
                        header("webhook-id", "The id of the event: the same when it is sent again."),
                        header("webhook-timestamp", "When it was sent, in seconds since 1970."),
                        header("webhook-signature", "A signature for each secret, with spaces between them."),
                    ],
                    "requestBody": {
                        "required": true,
                        "content": { "application/cloudevents+json": { "schema": event } },
                    },
                    "responses": { "2XX": { "description": "It is taken." } },
                },
            },
        },
        "components": {
            "securitySchemes": {
                "serviceToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "`scope` holds `switchboard:service`, and `aud` the audience of the \
                        service.",
                },
            },
            "schemas": schemas.into_definitions(),
        },
    });
    examples::add_requests(&mut document, &examples::all()["service"]);
    let body = &mut document["webhooks"]["event"]["post"]["requestBody"];
    body["content"]["application/cloudevents+json"]["example"] = examples::all()["event"].take();
    document
}
