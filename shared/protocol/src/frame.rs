//! Frames that clients send: each is one JSON object, and is parsed here only.

use std::collections::BTreeMap;
use std::fmt;

use domain::{
    Change, ClientMessageId, Content, ConversationId, MessageChange, MessageId, Metadata, Reaction, Seq,
};
use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::given;

/// The maximum length of a frame's `id`, in characters.
const FRAME_ID_LIMIT: usize = 64;

/// The maximum length of the reason for refusing a field, in characters. A longer one is cut.
const LONGEST_REASON: usize = 200;

/// The client's name for a frame. The answer carries it.
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

/// `join_conversation`: this connection wants the messages of a conversation.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct JoinConversation {
    /// The conversation.
    pub conversation_id: ConversationId,
}

/// `leave_conversation`: this connection does not want the messages of a conversation any more.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LeaveConversation {
    /// The conversation.
    pub conversation_id: ConversationId,
}

/// `send_message`: a message is to be stored and pushed.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SendMessage {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The text.
    pub content: Content,
    /// The client's name for the message. A repeat with the same name stores nothing.
    pub client_message_id: Option<ClientMessageId>,
    /// The id of the message that this one answers.
    pub reply_to: Option<MessageId>,
    /// Data of the application.
    pub metadata: Option<Metadata>,
}

/// `edit_message`: the sender of a message edits it.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EditMessage {
    /// The message.
    pub message_id: MessageId,
    /// The new text.
    pub content: Content,
    /// New data of the application; null for none. If it is absent, the message keeps what it has.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Metadata>"))]
    pub metadata: Option<Option<Metadata>>,
    /// The `change` of the message as last seen; null for none. If it has another one, nothing is done.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Change>"))]
    pub if_change: Option<Option<Change>>,
}

/// `delete_message`: a message is to be deleted.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DeleteMessage {
    /// The message.
    pub message_id: MessageId,
}

/// `add_reaction` and `remove_reaction`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ChangeReaction {
    /// The message.
    pub message_id: MessageId,
    /// The reaction.
    pub reaction: Reaction,
}

/// A frame that changes a stored message.
#[derive(Clone, Debug)]
pub struct ChangeMessage {
    /// The message.
    pub message_id: MessageId,
    /// What changes.
    pub change: MessageChange,
}

/// The actions that change a message.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ChangeAction {
    EditMessage,
    DeleteMessage,
    AddReaction,
    RemoveReaction,
}

/// Reads the frame that its action names. An enum that serde tags would first copy all fields to values,
/// which cannot hold the text of the metadata.
impl<'de> Deserialize<'de> for ChangeMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = BTreeMap::<String, Box<RawValue>>::deserialize(deserializer)?;
        let fields = Fields(fields.iter().map(|(name, value)| (name.clone(), &**value)).collect());
        fields.into_change().map_err(serde::de::Error::custom)
    }
}

/// `mark_read`: the user has read messages of the other participant.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MarkRead {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The number of the last message that was read; all messages if absent.
    pub up_to_seq: Option<UpToSeq>,
}

/// The number of a message, or 0.
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
    /// Whether the user started or stopped typing.
    pub action: TypingAction,
    /// The conversation.
    pub conversation_id: ConversationId,
}

/// Whether the user started or stopped typing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum TypingAction {
    /// The user is typing.
    #[serde(rename = "typing_start")]
    Start,
    /// The user has stopped.
    #[serde(rename = "typing_stop")]
    Stop,
}

/// `ping`: this connection is alive.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ping {}

/// A frame that no route takes. Only the presence of an action matters.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AnyFrame {
    /// The action, of whatever type.
    #[cfg_attr(feature = "schema", schemars(with = "Option<serde_json::Value>"))]
    pub action: Option<IgnoredAny>,
}

/// Why outside input is refused: which field, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Reads a frame: its `id`, if that can be read, even if the rest cannot; and its content, or why it is
/// refused.
pub fn read_frame<T: DeserializeOwned>(body: &str) -> (Option<FrameId>, Result<T, Refused>) {
    let (fields, whole) = Fields::read(body, "the frame");
    match fields.field::<Option<FrameId>>("id") {
        Ok(id) => (id.flatten(), whole.and_then(|()| fields.into_value())),
        Err(refused) => (None, Err(whole.err().unwrap_or(refused))),
    }
}

/// Reads the body of an HTTP request.
///
/// # Errors
///
/// The body is not a JSON object with the fields of a `T`.
pub fn read_object<T: DeserializeOwned>(body: &str) -> Result<T, Refused> {
    let (fields, whole) = Fields::read(body, "the body");
    whole.and_then(|()| fields.into_value())
}

/// The fields of a JSON object, unparsed. So a field that nobody asks for cannot refuse the object. Of two
/// fields with one name the later one counts.
#[derive(Default)]
struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    /// Reads as many fields as possible, and returns the error in the text if there is one.
    fn read(text: &'a str, what: &str) -> (Self, Result<(), Refused>) {
        let mut fields = Self::default();
        let mut json = serde_json::Deserializer::from_str(text);
        let read = fields.deserialize(&mut json).and_then(|()| json.end());
        let whole = read.map_err(|error| {
            Refused(match error.is_data() {
                true => format!("{what} must be a JSON object"),
                false => format!("{what} must be JSON: {error}"),
            })
        });
        (fields, whole)
    }

    /// Reads a field, if it is there.
    fn field<T: Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, Refused> {
        let field = self.0.get(name).map(|value| T::deserialize(*value));
        field.transpose().map_err(|error| Refused(format!("{name}: {}", without_position(&error))))
    }

    /// Reads a change of a message.
    fn into_change(self) -> Result<ChangeMessage, Refused> {
        let action = self.field("action")?.ok_or_else(|| Refused("missing field `action`".to_owned()))?;
        Ok(match action {
            ChangeAction::EditMessage => {
                let EditMessage { message_id, content, metadata, if_change } = self.into_value()?;
                ChangeMessage { message_id, change: MessageChange::Edit { content, metadata, if_change } }
            }
            ChangeAction::DeleteMessage => {
                let DeleteMessage { message_id } = self.into_value()?;
                ChangeMessage { message_id, change: MessageChange::Delete }
            }
            ChangeAction::AddReaction => {
                let ChangeReaction { message_id, reaction } = self.into_value()?;
                ChangeMessage { message_id, change: MessageChange::AddReaction(reaction) }
            }
            ChangeAction::RemoveReaction => {
                let ChangeReaction { message_id, reaction } = self.into_value()?;
                ChangeMessage { message_id, change: MessageChange::RemoveReaction(reaction) }
            }
        })
    }

    /// Reads a `T` from its fields.
    fn into_value<T: DeserializeOwned>(self) -> Result<T, Refused> {
        let fields = MapDeserializer::new(self.0.into_iter());
        serde_path_to_error::deserialize(fields).map_err(
            |error: serde_path_to_error::Error<serde_json::Error>| {
                let path = error.path().to_string();
                let reason = without_position(error.inner());
                // The error of a missing field names the field itself.
                Refused(if path == "." { reason } else { format!("{path}: {reason}") })
            },
        )
    }
}

/// The error of a field's value. Its position is left out: it counts from the start of the value.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let reason = text.strip_suffix(&position).unwrap_or(&text);
    // The message may repeat the value, which may be as long as a frame.
    match reason.char_indices().nth(LONGEST_REASON) {
        Some((end, _)) => format!("{} …", &reason[..end]),
        None => reason.to_owned(),
    }
}

impl<'a> DeserializeSeed<'a> for &mut Fields<'a> {
    type Value = ();
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for &mut Fields<'a> {
    type Value = ();
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }
    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            self.0.insert(name, map.next_value()?);
        }
        Ok(())
    }
}

/// Reads the name of a field. Half of a surrogate pair, which no Rust string can hold, becomes U+FFFD.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Name;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a name")
            }
            fn visit_bytes<E>(self, name: &[u8]) -> Result<Name, E> {
                Ok(Name(String::from_utf8_lossy(name).into_owned()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
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
            let sent = json!({ "id": id, "conversationId": "0197f1c0-0000-7000-8000-000000000000",
                "content": content });
            let (read_id, frame) = read_frame::<SendMessage>(&sent.to_string());
            prop_assert_eq!(read_id.map(String::from), (id.chars().count() <= 64).then(|| id.clone()));
            let length = content.chars().count();
            let is_right = id.chars().count() <= 64
                && length <= 2000
                && !content.trim().is_empty()
                && !content.contains('\0');
            prop_assert_eq!(frame.ok().map(|frame| frame.content.as_str().to_owned()),
                is_right.then_some(content));
        }
    }

    /// What a JSON text may hold, although no library can read it into a value.
    fn odd_values() -> Vec<String> {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let objects = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
        [
            r#""\ud83d""#,
            r#""\ude00\ud83d""#,
            r#""\ud83dx""#,
            "1e400",
            "-1e400",
            "123456789012345678901234567890",
        ]
        .map(str::to_owned)
        .into_iter()
        .chain([nested(200), nested(100_000), objects])
        .collect()
    }

    #[test]
    fn what_is_in_an_unknown_field_refuses_nothing() {
        for odd in odd_values() {
            for body in [
                format!(r#"{{"id":"a","extra":{odd},{CONVERSATION},"content":"hi"}}"#),
                format!(r#"{{{CONVERSATION},"content":"hi","extra":{{"deep":[{odd}]}},"id":"a"}}"#),
            ] {
                let (id, frame) = read_frame::<SendMessage>(&body);
                assert_eq!(id.map(String::from).as_deref(), Some("a"), "{body:.200}");
                assert_eq!(frame.map(|frame| frame.content.as_str().to_owned()), Ok("hi".to_owned()));
            }
        }
        let body = format!(r#"{{"\ud83d":1,"id":"a",{CONVERSATION},"content":"hi"}}"#);
        assert!(read_frame::<SendMessage>(&body).1.is_ok(), "the name of one neither");
    }

    #[test]
    fn what_is_wrong_with_a_field_is_told_with_the_id() {
        for odd in odd_values() {
            for body in [
                format!(r#"{{"id":"a",{CONVERSATION},"content":{odd}}}"#),
                format!(r#"{{"content":{odd},{CONVERSATION},"id":"a"}}"#),
            ] {
                let (id, frame) = read_frame::<SendMessage>(&body);
                assert_eq!(id.map(String::from).as_deref(), Some("a"), "{body:.200}");
                let reason = frame.unwrap_err().0;
                assert!(reason.starts_with("content: ") && !reason.contains("column"), "{reason}");
            }
            let (id, frame) = read_frame::<AnyFrame>(&format!(r#"{{"id":"a","action":{odd}}}"#));
            assert!(id.is_some() && frame.is_ok_and(|frame| frame.action.is_some()));
            // An `id` with such a text cannot be read.
            let (id, frame) = read_frame::<Ping>(&format!(r#"{{"id":{odd}}}"#));
            assert!(id.is_none() && frame.unwrap_err().0.starts_with("id: "));
        }
    }

    #[test]
    fn the_id_is_known_although_the_text_is_broken_after_it() {
        for rest in
            ["", ",", r#","content":"#, r#","content":tru}"#, ",\"content\":\"\n\"}", "} and more", "}}"]
        {
            let (id, frame) = read_frame::<SendMessage>(&format!(r#"{{"id":"a"{rest}"#));
            assert_eq!(id.map(String::from).as_deref(), Some("a"), "{rest}");
            assert!(frame.unwrap_err().0.starts_with("the frame must be JSON: "), "{rest}");
        }
    }

    #[test]
    fn a_reason_is_not_as_long_as_what_is_wrong() {
        let long = "\u{7f}".repeat(30_000);
        let body =
            json!({ "id": "a", "conversationId": "0197f1c0-0000-7000-8000-000000000000", "upToSeq": long });
        let (id, frame) = read_frame::<MarkRead>(&body.to_string());
        assert!(id.is_some());
        let reason = frame.unwrap_err().0;
        assert!(reason.starts_with("upToSeq: invalid type: string") && reason.len() < 1000, "{reason}");
    }

    #[test]
    fn metadata_is_read_as_the_text_that_was_sent() {
        let text = r#"{ "a": 1e131071, "a":[ ] }"#;
        let (_, frame) =
            read_frame::<SendMessage>(&format!(r#"{{{CONVERSATION},"content":"hi","metadata":{text}}}"#));
        assert_eq!(frame.unwrap().metadata.unwrap().as_str(), text);
        for (odd, reason) in [
            ("[]", "metadata: must be a JSON object"),
            ("5", "metadata: must be a JSON object"),
            (r#"{"a":"\u0000"}"#, "metadata: must not contain U+0000"),
        ] {
            let body = format!(r#"{{{CONVERSATION},"content":"hi","metadata":{odd}}}"#);
            assert_eq!(refusal(&body), reason);
        }
    }

    #[test]
    fn a_change_is_read_by_its_action() {
        const MESSAGE: &str = r#""messageId":"0197f1c0-0000-7000-8000-000000000000""#;
        let read = |rest: &str| read_frame::<ChangeMessage>(&format!("{{{MESSAGE},{rest}}}")).1;
        let edit = |rest: &str| match read(&format!(r#""action":"edit_message","content":"hi"{rest}"#)) {
            Ok(ChangeMessage { change: MessageChange::Edit { metadata, if_change, .. }, .. }) => {
                (metadata.map(|new| new.map(|new| new.as_str().to_owned())), if_change)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(edit(""), (None, None));
        assert_eq!(edit(r#","metadata":null,"ifChange":null"#), (Some(None), Some(None)));
        assert_eq!(
            edit(r#","metadata":{ },"ifChange":7"#),
            (Some(Some("{ }".to_owned())), Some(Some(Change(7))))
        );
        let is = |rest, wanted: fn(MessageChange) -> bool| assert!(wanted(read(rest).unwrap().change));
        is(r#""action":"delete_message""#, |change| matches!(change, MessageChange::Delete));
        is(r#""action":"add_reaction","reaction":"👍""#, |change| {
            matches!(change, MessageChange::AddReaction(_))
        });
        is(r#""action":"remove_reaction","reaction":"👍""#, |change| {
            matches!(change, MessageChange::RemoveReaction(_))
        });
        for (rest, reason) in [
            (r#""action":"edit_message""#, "missing field `content`"),
            (r#""action":"edit_message","content":5"#, "content: invalid type"),
            (r#""action":"edit_message","content":"a","ifChange":"b""#, "ifChange: invalid type"),
            (r#""action":"add_reaction","reaction":"""#, "reaction: must not be empty"),
            (r#""action":"add_reaction","reaction":" ""#, "reaction: must not be blank"),
        ] {
            let refused = read(rest).unwrap_err().0;
            assert!(refused.starts_with(reason), "{refused}");
        }
        let long = format!(r#""action":"add_reaction","reaction":"{}""#, "é".repeat(33));
        assert_eq!(read(&long).unwrap_err().0, "reaction: must be at most 32 characters long, not 33");
    }

    #[test]
    fn of_two_fields_of_one_name_the_later_one_counts() {
        let (id, frame) = read_frame::<SendMessage>(&format!(
            r#"{{"id":"a","id":"b","content":5,{CONVERSATION},"content":"hi"}}"#
        ));
        assert_eq!(id.map(String::from).as_deref(), Some("b"));
        assert!(frame.is_ok());
    }
}
