//! The errors: what each means, what to do about it, and how to see it.

use protocol::Code;
use serde_json::{Value, json};

use crate::examples;

/// What is said of an error.
struct Said {
    code: Code,
    /// The status of the HTTP API; over the WebSocket there is none.
    status: Option<u16>,
    meaning: &'static str,
    what_to_do: &'static str,
    how_to_see_it: &'static str,
}

const ERRORS: [Said; 8] = [
    Said {
        code: Code::InvalidRequest,
        status: Some(400),
        meaning: "A field is missing, malformed or beyond a limit. The message begins with its name.",
        what_to_do: "Mend the request. Nothing was stored, and a repeat is refused again.",
        how_to_see_it: "Send a message without content.",
    },
    Said {
        code: Code::Unauthenticated,
        status: Some(401),
        meaning: "There is no token, or it is not valid, has expired, or was revoked. A handshake without \
            a valid token is refused with the status 401.",
        what_to_do: "Get a new token. If that is refused too, the user has to sign in again.",
        how_to_see_it: "Request anything without the header `Authorization`.",
    },
    Said {
        code: Code::TokenExpired,
        status: None,
        meaning: "The token was valid when the connection opened, and has expired since. The connection is \
            closed.",
        what_to_do: "Connect again with a new token, and repeat the frame.",
        how_to_see_it: "`cargo dev token NAME --expires-in 2s`, connect, and send a frame after three \
            seconds.",
    },
    Said {
        code: Code::Forbidden,
        status: Some(403),
        meaning: "The user does not take part in the conversation, or there is none: which of the two is \
            not told. Or only an owner of the group may do this, the connection has not joined, or one of \
            two has blocked the other.",
        what_to_do: "Do not repeat it. If the conversation cannot be fetched either, drop it from the list.",
        how_to_see_it: "Join a conversation with an invented id.",
    },
    Said {
        code: Code::NotFound,
        status: Some(404),
        meaning: "A user who is named is not known, or does not take part in the conversation.",
        what_to_do: "Ask for another name, or invite them.",
        how_to_see_it: "Ask for the conversation with an invented user.",
    },
    Said {
        code: Code::RateLimited,
        status: Some(429),
        meaning: "The user has sent more, or made more conversations, in a minute than the service allows.",
        what_to_do: "Wait for `retryAfterMs`, over HTTP for a minute, and repeat it with the same \
            `clientMessageId`.",
        how_to_see_it: "Send as fast as you can. In the example the limit is 20 messages a minute.",
    },
    Said {
        code: Code::Unavailable,
        status: Some(503),
        meaning: "Something that the service needs did not answer in time, or this connection is not known \
            any more. What was asked for may have been done.",
        what_to_do: "Repeat it with the same `clientMessageId`, later each time.",
        how_to_see_it: "Lock the row of a conversation in Postgres, and send to it.",
    },
    Said {
        code: Code::Internal,
        status: Some(500),
        meaning: "The service has made a mistake. It is in its log.",
        what_to_do: "Report it with the time. A repeat may be refused again.",
        how_to_see_it: "There is no known way.",
    },
];

/// The document: a list of errors.
pub fn document() -> Value {
    let examples = &examples::all()["errors"];
    let errors = ERRORS.iter().map(|said| {
        let mut error = json!({
            "code": said.code.as_str(),
            "status": said.status,
            "retryable": said.code.retryable(),
            "meaning": said.meaning,
            "whatToDo": said.what_to_do,
            "howToSeeIt": said.how_to_see_it,
        });
        if let Some(example) = examples.get(said.code.as_str()) {
            error["example"] = example.clone();
        }
        error
    });
    errors.collect()
}
