//! Users, with their tokens.

use std::sync::Arc;

use harness::{Stack, seconds_from_now};
use protocol::rest::{ConversationPage, FoundConversation, MessagePage};
use reqwest::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Client;

/// A user.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) stack: Arc<Stack>,
    pub(crate) id: String,
    pub(crate) name: String,
}

impl User {
    /// A new user of a stack.
    pub(crate) fn of(stack: &Arc<Stack>, name: &str) -> Self {
        Self {
            stack: stack.clone(),
            id: format!("{}-{}", name.to_lowercase(), Uuid::new_v4().simple()),
            name: name.to_owned(),
        }
    }

    /// The claims of a valid token.
    pub(crate) fn claims(&self) -> Value {
        json!({
            "sub": self.id,
            "exp": seconds_from_now(3600),
            "name": format!("{} Example", self.name),
            "nickname": self.name,
            "picture": format!("https://example.com/{}.png", self.id),
        })
    }

    /// A valid token.
    pub(crate) fn token(&self) -> String {
        self.token_with(&self.claims())
    }

    /// A token with these claims and a valid signature.
    pub(crate) fn token_with(&self, claims: &Value) -> String {
        self.stack.token(claims)
    }

    /// Opens a connection.
    pub(crate) async fn connects(&self) -> Client {
        Client::connect(&self.stack, &self.token()).await.expect("a valid token opens a connection")
    }

    /// Posts to the HTTP API.
    pub(crate) async fn posts(&self, path: &str, body: &Value) -> Response {
        reqwest::Client::new()
            .post(self.stack.http(path))
            .bearer_auth(self.token())
            .json(body)
            .send()
            .await
            .expect("the stack is running")
    }

    /// Gets from the HTTP API.
    pub(crate) async fn gets(&self, path: &str) -> Response {
        let request = reqwest::Client::new().get(self.stack.http(path)).bearer_auth(self.token());
        request.send().await.expect("the stack is running")
    }

    /// One page of this user's conversations.
    pub(crate) async fn lists_conversations(&self, query: &str) -> ConversationPage {
        let answer = self.gets(&format!("/api/conversations{query}")).await;
        assert_eq!(answer.status(), 200);
        answer.json().await.expect("it answers as the protocol says")
    }

    /// One page of a conversation.
    pub(crate) async fn reads(&self, conversation: &str, query: &str) -> MessagePage {
        let answer = self.gets(&format!("/api/conversations/{conversation}/messages{query}")).await;
        assert_eq!(answer.status(), 200);
        answer.json().await.expect("it answers as the protocol says")
    }

    /// Asks for the conversation with `other`. Returns the status and the id.
    pub(crate) async fn asks_for_conversation_with(&self, other: &User) -> (u16, String) {
        let answer =
            self.posts("/api/conversations/find-or-create", &json!({ "otherUserId": other.id })).await;
        let status = answer.status().as_u16();
        let found: FoundConversation = answer.json().await.expect("it answers as the protocol says");
        (status, found.conversation_id.to_string())
    }
}

/// Two users with a conversation, each connected with a phone.
pub(crate) struct Pair {
    pub(crate) alice: User,
    pub(crate) alice_phone: Client,
    pub(crate) bob: User,
    pub(crate) bob_phone: Client,
    pub(crate) conversation: String,
}

/// Connects two new users, and makes their conversation.
pub(crate) async fn pair(stack: &Arc<Stack>) -> Pair {
    let (alice, bob) = (User::of(stack, "Alice"), User::of(stack, "Bob"));
    let (alice_phone, bob_phone) = tokio::join!(alice.connects(), bob.connects());
    let (_, conversation) = alice.asks_for_conversation_with(&bob).await;
    Pair { alice, alice_phone, bob, bob_phone, conversation }
}
