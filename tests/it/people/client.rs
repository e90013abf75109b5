//! A client with a real socket.

use std::collections::{HashMap, VecDeque};
use std::sync::LazyLock;

use harness::{PATIENCE, Socket, Stack};
use jsonschema::Validator;
use protocol::{Answer, Code, ErrorFrame, Event, Message};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message as SocketMessage};

/// Validates a frame against the AsyncAPI document.
fn documented(frame: &Value) {
    static MESSAGES: LazyLock<HashMap<String, Validator>> = LazyLock::new(|| {
        let document = documents::asyncapi();
        let messages = document["components"]["messages"].as_object().expect("it has messages");
        let validator = |message: &Value| {
            let mut schema = message["payload"].clone();
            // The schemas that it refers to.
            schema["components"] = document["components"].clone();
            jsonschema::options().should_validate_formats(true).build(&schema).expect("it is a schema")
        };
        messages.iter().map(|(name, message)| (name.clone(), validator(message))).collect()
    });
    let name = frame["type"].as_str().unwrap_or("gateway");
    let message = MESSAGES.get(name).unwrap_or_else(|| panic!("{name} is not in the document"));
    message.validate(frame).unwrap_or_else(|error| panic!("{name} is not as the document says: {error}"));
}

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    socket: Socket,
    /// Frames that arrived while another one was waited for.
    kept: VecDeque<Frame>,
    asked: u32,
}

/// A frame that a client received.
#[expect(clippy::large_enum_variant, reason = "a story holds only a few of them")]
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    Event(Answer),
    Error(ErrorFrame),
    /// Sent by the gateway itself.
    Gateway(Value),
}

impl Frame {
    fn read(text: &str) -> Self {
        let frame: Value = serde_json::from_str(text).expect("every frame is JSON");
        documented(&frame);
        match (&frame["type"], &frame["message"]) {
            (Value::String(kind), _) if kind == "error" => {
                Self::Error(serde_json::from_value(frame).expect("an error frame is as the protocol says"))
            }
            (Value::String(_), _) => {
                let id = frame.get("id").map(|id| serde_json::from_value(id.clone()).expect("it is short"));
                // From the text: a value has lost that of the metadata.
                let event = serde_json::from_str(text).expect("an event is as the protocol says");
                Self::Event(Answer { id, event })
            }
            (_, Value::String(_)) => Self::Gateway(frame),
            _ => panic!("neither ours nor the gateway's: {frame}"),
        }
    }

    fn id(&self) -> Option<String> {
        match self {
            Self::Event(answer) => answer.id.clone().map(String::from),
            Self::Error(error) => error.id.clone().map(String::from),
            Self::Gateway(_) => None,
        }
    }
}

fn reacting(action: &str, message: &Message, reaction: &str) -> Value {
    json!({ "action": action, "messageId": message.id, "reaction": reaction })
}

/// The answer to a join.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) conversation_id: String,
    pub(crate) last_seq: i64,
    pub(crate) last_change: i64,
    pub(crate) online_user_ids: Vec<String>,
}

impl Client {
    /// Opens a connection with this token in the query string; the status if it is refused.
    pub(crate) async fn connect(stack: &Stack, token: &str) -> Result<Self, u16> {
        Self::open(&format!("ws://127.0.0.1:{}/v1?token={token}", stack.port)).await
    }

    /// Opens a connection to `request`.
    pub(crate) async fn open(
        request: impl tungstenite::client::IntoClientRequest + Unpin,
    ) -> Result<Self, u16> {
        match Self::reach(request).await {
            Ok(client) => Ok(client),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("the handshake failed otherwise than by a status: {error}"),
        }
    }

    /// The same, with any error.
    pub(crate) async fn reach(
        request: impl tungstenite::client::IntoClientRequest + Unpin,
    ) -> Result<Self, tungstenite::Error> {
        Ok(Self { socket: Socket::connect(request).await?, kept: VecDeque::new(), asked: 0 })
    }

    /// Sends text. Returns whether the connection took it.
    pub(crate) async fn tries(&mut self, text: &str) -> bool {
        self.socket.tries(text).await
    }

    /// The next frame; `None` if the connection is closed. Without a time limit.
    pub(crate) async fn takes(&mut self) -> Option<Frame> {
        loop {
            match self.socket.next_whenever().await? {
                SocketMessage::Text(text) => return Some(Frame::read(&text)),
                SocketMessage::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// Sends text as it is.
    pub(crate) async fn sends_text(&mut self, text: &str) {
        self.socket.sends(text).await;
    }

    /// Sends one message in frames of at most `size` bytes.
    pub(crate) async fn sends_in_frames(&mut self, text: &str, size: usize) {
        self.socket.sends_in_frames(text, size).await;
    }

    /// Sends a frame with a new id.
    pub(crate) async fn sends(&mut self, mut frame: Value) -> String {
        self.asked += 1;
        let id = format!("frame-{}", self.asked);
        frame["id"] = id.clone().into();
        self.sends_text(&frame.to_string()).await;
        id
    }

    /// The answer to the frame with this id.
    pub(crate) async fn is_answered(&mut self, id: &str) -> Frame {
        self.receives_where(|frame| frame.id().as_deref() == Some(id)).await
    }

    /// Sends a frame, and waits for the event that answers it.
    pub(crate) async fn asks(&mut self, frame: Value) -> Event {
        let id = self.sends(frame).await;
        match self.is_answered(&id).await {
            Frame::Event(answer) => answer.event,
            other => panic!("answered with {other:?}"),
        }
    }

    /// Sends a frame, and waits for the error that answers it: code and message.
    pub(crate) async fn is_refused(&mut self, frame: Value) -> (Code, String) {
        let id = self.sends(frame).await;
        match self.is_answered(&id).await {
            Frame::Error(frame) => (frame.error.code, frame.error.message),
            other => panic!("answered with {other:?}"),
        }
    }

    pub(crate) async fn joins(&mut self, conversation: &str) -> Joined {
        match self.asks(json!({ "action": "join_conversation", "conversationId": conversation })).await {
            Event::JoinedConversation { conversation_id, last_seq, last_change, online_user_ids } => Joined {
                conversation_id: conversation_id.to_string(),
                last_seq: last_seq.0,
                last_change: last_change.0,
                online_user_ids: online_user_ids.into_iter().map(String::from).collect(),
            },
            other => panic!("answered with {other:?}"),
        }
    }

    /// Sends a message, and returns it as it is stored.
    pub(crate) async fn says(&mut self, conversation: &str, content: &str) -> Message {
        self.sends_message(json!({ "conversationId": conversation, "content": content })).await
    }

    /// The same with all fields given.
    pub(crate) async fn sends_message(&mut self, mut fields: Value) -> Message {
        fields["action"] = "send_message".into();
        match self.asks(fields).await {
            Event::NewMessage(message) => message,
            other => panic!("answered with {other:?}"),
        }
    }

    /// Changes a message. Returns it, and the number of the change.
    pub(crate) async fn changes(&mut self, frame: Value) -> (Message, Option<i64>) {
        match self.asks(frame).await {
            Event::MessageChanged { message, change } => (message, change.map(|change| change.0)),
            other => panic!("answered with {other:?}"),
        }
    }

    /// Gives a message this content.
    pub(crate) async fn edits(&mut self, message: &Message, content: &str) -> Message {
        self.changes(json!({ "action": "edit_message", "messageId": message.id, "content": content })).await.0
    }

    /// Deletes a message.
    pub(crate) async fn deletes(&mut self, message: &Message) -> Message {
        self.changes(json!({ "action": "delete_message", "messageId": message.id })).await.0
    }

    /// Reacts to a message.
    pub(crate) async fn reacts(&mut self, message: &Message, reaction: &str) -> Message {
        self.changes(reacting("add_reaction", message, reaction)).await.0
    }

    /// Takes a reaction back.
    pub(crate) async fn takes_back(&mut self, message: &Message, reaction: &str) -> Message {
        self.changes(reacting("remove_reaction", message, reaction)).await.0
    }

    /// The next pushed change of a message.
    pub(crate) async fn sees_change(&mut self) -> Message {
        let changed = |event: &Event| match event {
            Event::MessageChanged { message, .. } => Some(message.clone()),
            _ => None,
        };
        self.hears(changed).await
    }

    /// The next pushed event that `wanted` accepts.
    pub(crate) async fn hears<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let heard = |frame: &Frame| match frame {
            Frame::Event(Answer { id: None, event }) => wanted(event),
            _ => None,
        };
        let frame = self.receives_where(|frame| heard(frame).is_some()).await;
        heard(&frame).expect("it was just looked at")
    }

    /// The next pushed message.
    pub(crate) async fn receives_message(&mut self) -> Message {
        let message = |event: &Event| match event {
            Event::NewMessage(message) => Some(message.clone()),
            _ => None,
        };
        self.hears(message).await
    }

    /// All events that were pushed until now. Pushes are done when the sender is answered, so a frame of this
    /// client marks the end.
    pub(crate) async fn has_heard(&mut self) -> Vec<Event> {
        self.is_refused(json!({ "action": "no such action" })).await;
        let kept = self.kept.drain(..);
        kept.map(|frame| match frame {
            Frame::Event(Answer { id: None, event }) => event,
            other => panic!("nobody waited for {other:?}"),
        })
        .collect()
    }

    /// The messages among them.
    pub(crate) async fn has_received(&mut self) -> Vec<Message> {
        let messages = self.has_heard().await.into_iter().filter_map(|event| match event {
            Event::NewMessage(message) => Some(message),
            _ => None,
        });
        messages.collect()
    }

    /// The next frame as it came.
    pub(crate) async fn next_text(&mut self) -> String {
        match self.next().await {
            SocketMessage::Text(text) => text.to_string(),
            other => panic!("waited for a frame and got {other:?}"),
        }
    }

    /// The next frame, whatever it is.
    pub(crate) async fn receives(&mut self) -> Frame {
        self.receives_where(|_| true).await
    }

    /// The first frame that fits; others are kept.
    pub(crate) async fn receives_where(&mut self, fits: impl Fn(&Frame) -> bool) -> Frame {
        if let Some(at) = self.kept.iter().position(&fits) {
            return self.kept.remove(at).expect("it was just found");
        }
        loop {
            match self.next().await {
                SocketMessage::Text(text) => {
                    let frame = Frame::read(&text);
                    if fits(&frame) {
                        return frame;
                    }
                    self.kept.push_back(frame);
                }
                other => panic!("waited for a frame and got {other:?}; before it: {:?}", self.kept),
            }
        }
    }

    /// Waits until the other side closes the connection. Returns the close code.
    pub(crate) async fn is_closed(&mut self) -> CloseCode {
        loop {
            match self.next().await {
                SocketMessage::Close(Some(frame)) => return frame.code,
                SocketMessage::Close(None) => return CloseCode::Status,
                SocketMessage::Text(text) => self.kept.push_back(Frame::read(&text)),
                _ => {}
            }
        }
    }

    /// The same without a time limit.
    pub(crate) async fn is_closed_whenever(&mut self) -> CloseCode {
        while let Some(next) = self.socket.next_whenever().await {
            if let SocketMessage::Close(Some(frame)) = next {
                return frame.code;
            }
        }
        panic!("it ended without a close frame");
    }

    /// Closes the connection.
    pub(crate) async fn closes(mut self) {
        self.socket.sends_frame(SocketMessage::Close(None)).await;
        while self.socket.next_whenever().await.is_some() {}
    }

    /// Drops the socket without a close frame.
    pub(crate) fn breaks_off(self) {
        drop(self.socket);
    }

    async fn next(&mut self) -> SocketMessage {
        let next = timeout(PATIENCE, self.socket.next_whenever()).await;
        let next = next.unwrap_or_else(|_| panic!("nothing came any more; kept: {:?}", self.kept));
        next.expect("the connection is open and sound")
    }
}
