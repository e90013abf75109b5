//! What clients send: one JSON object a frame, parsed once, here.

use domain::{ClientMessageId, Content, ConversationId, Seq};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most characters that a frame's `id` may have.
const FRAME_ID_LIMIT: usize = 64;

/// The name a client gives to a frame; its answer carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct FrameId(String);

impl TryFrom<String> for FrameId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match text.chars().count() {
            0..=FRAME_ID_LIMIT => Ok(Self(text)),
            actual => Err(format!("must be at most {FRAME_ID_LIMIT} characters long, not {actual}")),
        }
    }
}

impl From<FrameId> for String {
    fn from(id: FrameId) -> String {
        id.0
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for FrameId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FrameId".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "maxLength": FRAME_ID_LIMIT })
    }
}

/// `join_conversation`: from now on this connection gets the conversation's messages.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct JoinConversation {
    /// The conversation.
    pub conversation_id: ConversationId,
}

/// `leave_conversation`: from now on it does not.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LeaveConversation {
    /// The conversation.
    pub conversation_id: ConversationId,
}

/// `send_message`: store this and tell the others.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SendMessage {
    /// The conversation that it goes to.
    pub conversation_id: ConversationId,
    /// What it says.
    pub content: Content,
    /// The client's own name for it, which makes a repeat harmless.
    pub client_message_id: Option<ClientMessageId>,
}

/// `mark_read`: the other side's messages are read.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MarkRead {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The place of the last one that is; all of them if absent.
    pub up_to_seq: Option<UpToSeq>,
}

/// A place up to which messages are read: 0 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct UpToSeq(Seq);

impl TryFrom<i64> for UpToSeq {
    type Error = &'static str;
    fn try_from(seq: i64) -> Result<Self, Self::Error> {
        if seq < 0 { Err("must not be negative") } else { Ok(Self(Seq(seq))) }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for UpToSeq {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UpToSeq".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "minimum": 0 })
    }
}

impl From<UpToSeq> for Seq {
    fn from(up_to: UpToSeq) -> Self {
        up_to.0
    }
}

/// `typing_start` and `typing_stop`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Typing {
    /// Which of the two.
    pub action: TypingAction,
    /// The conversation.
    pub conversation_id: ConversationId,
}

/// What a typist does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum TypingAction {
    /// Goes on.
    #[serde(rename = "typing_start")]
    Start,
    /// Leaves it.
    #[serde(rename = "typing_stop")]
    Stop,
}

/// `ping`: this connection is alive.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ping {}

/// A frame that no route takes: all that is asked is whether it names an action.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AnyFrame {
    /// What it asks for, whatever that is.
    pub action: Option<Value>,
}

/// Outside input that was refused: which field, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Reads a frame: its `id` as far as it can be told, and the rest or why it was refused.
pub fn read_frame<T: DeserializeOwned>(body: &str) -> (Option<FrameId>, Result<T, Refused>) {
    let frame = match read_json(body, "the frame") {
        Ok(frame) => frame,
        Err(refused) => return (None, Err(refused)),
    };
    match Option::<FrameId>::deserialize(frame.get("id").unwrap_or(&Value::Null)) {
        Ok(id) => (id, read_value(frame)),
        Err(error) => (None, Err(Refused(format!("id: {error}")))),
    }
}

/// Reads an HTTP request's body.
pub fn read_object<T: DeserializeOwned>(body: &str) -> Result<T, Refused> {
    read_value(read_json(body, "the body")?)
}

fn read_json(text: &str, what: &str) -> Result<Value, Refused> {
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err(Refused(format!("{what} must be a JSON object"))),
        Err(error) => Err(Refused(format!("{what} must be JSON: {error}"))),
    }
}

fn read_value<T: DeserializeOwned>(object: Value) -> Result<T, Refused> {
    serde_path_to_error::deserialize(object).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.into_inner();
        // A missing field is an error of the whole object, and says itself which field it is.
        Refused(if path == "." { reason.to_string() } else { format!("{path}: {reason}") })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refusal(body: &str) -> String {
        read_frame::<SendMessage>(body).1.unwrap_err().0
    }

    const CONVERSATION: &str = r#""conversationId":"0197f1c0-0000-7000-8000-000000000000""#;

    #[test]
    fn a_refusal_names_the_field_and_the_reason() {
        assert_eq!(refusal(&format!(r#"{{{CONVERSATION},"content":""}}"#)), "content: must not be empty");
        assert_eq!(refusal(&format!("{{{CONVERSATION}}}")), "missing field `content`");
        assert_eq!(
            refusal(&format!(r#"{{{CONVERSATION},"content":5}}"#)),
            "content: invalid type: integer `5`, expected a string"
        );
        assert_eq!(refusal(r#"{"conversationId":"x","content":"hi"}"#), "conversationId: must be a UUID");
        assert_eq!(refusal("[]"), "the frame must be a JSON object");
        assert!(refusal("hello").starts_with("the frame must be JSON: "));
        assert!(refusal("").starts_with("the frame must be JSON: "));
    }

    #[test]
    fn the_id_is_known_although_the_rest_is_refused() {
        let (id, frame) = read_frame::<SendMessage>(r#"{"id":"a","content":5}"#);
        assert_eq!(id.map(String::from), Some("a".to_owned()));
        assert!(frame.is_err());
    }

    #[test]
    fn an_id_that_is_none_is_refused() {
        assert!(refusal(r#"{"id":5}"#).starts_with("id: "));
        assert!(refusal(&format!(r#"{{"id":"{}"}}"#, "a".repeat(65))).starts_with("id: "));
        assert!(
            read_frame::<JoinConversation>(&format!(r#"{{"id":"{}",{CONVERSATION}}}"#, "é".repeat(64)))
                .1
                .is_ok()
        );
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let body = format!(r#"{{"action":"join_conversation","extra":[1],{CONVERSATION}}}"#);
        assert!(read_frame::<JoinConversation>(&body).1.is_ok());
    }

    proptest! {
        #[test]
        fn nonsense_is_refused(text in any::<String>()) {
            let (_, frame) = read_frame::<SendMessage>(&text);
            prop_assert!(frame.is_err());
        }

        #[test]
        fn a_frame_is_read_as_it_was_meant(content in any::<String>(), id in any::<String>()) {
            let sent = json!({ "id": id, "conversationId": "0197f1c0-0000-7000-8000-000000000000", "content": content });
            let (read_id, frame) = read_frame::<SendMessage>(&sent.to_string());
            prop_assert_eq!(read_id.map(String::from), (id.chars().count() <= 64).then(|| id.clone()));
            let length = content.chars().count();
            let is_right = id.chars().count() <= 64
                && length <= 2000
                && !content.trim().is_empty()
                && !content.contains('\0');
            prop_assert_eq!(frame.ok().map(|frame| frame.content.as_str().to_owned()), is_right.then_some(content));
        }
    }

    #[test]
    fn nesting_has_an_end() {
        for depth in [200, 100_000] {
            let nested = format!(r#"{{"id":"a","extra":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
            assert!(refusal(&nested).starts_with("the frame must be JSON: recursion limit exceeded"));
        }
    }
}
