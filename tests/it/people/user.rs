//! Users, with their tokens.

use std::sync::Arc;

use harness::{Stack, seconds_from_now};
use protocol::rest::{Changes, Conversation, ConversationPage, FoundConversation, MessagePage};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Client;

/// The issuer of all tokens. Most stacks do not check it.
pub(crate) const ISSUER: &str = "https://issuer.example";

/// A user.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) stack: Arc<Stack>,
    pub(crate) id: String,
    pub(crate) name: String,
    /// When their tokens were issued.
    pub(crate) issued_at: i64,
}

impl User {
    /// A new user of a stack.
    pub(crate) fn of(stack: &Arc<Stack>, name: &str) -> Self {
        Self {
            stack: stack.clone(),
            id: format!("{}-{}", name.to_lowercase(), Uuid::new_v4().simple()),
            name: name.to_owned(),
            issued_at: seconds_from_now(-1),
        }
    }

    /// The claims of a valid token.
    pub(crate) fn claims(&self) -> Value {
        json!({
            "sub": self.id,
            "iss": ISSUER,
            "iat": self.issued_at,
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

    /// Sends any request to the HTTP API.
    pub(crate) async fn requests(&self, method: Method, path: &str, body: Option<&Value>) -> Response {
        let mut request =
            reqwest::Client::new().request(method, self.stack.http(path)).bearer_auth(self.token());
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.expect("the stack is running")
    }

    /// Makes a group with these others. Returns its id.
    pub(crate) async fn makes_group(&self, others: &[&User]) -> String {
        let ids: Vec<_> = others.iter().map(|other| &other.id).collect();
        let body = json!({ "title": format!("{}'s group", self.name), "participantIds": ids });
        let answer = self.posts("/api/conversations", &body).await;
        assert_eq!(answer.status(), 201);
        let made: Conversation = answer.json().await.expect("it answers as the protocol says");
        made.id.to_string()
    }

    /// Leaves a group.
    pub(crate) async fn leaves(&self, conversation: &str) {
        assert_eq!(self.removes(conversation, self).await, 204);
    }

    /// Removes a participant from a group. Returns the status.
    pub(crate) async fn removes(&self, conversation: &str, other: &User) -> u16 {
        let path = format!("/api/conversations/{conversation}/participants?userId={}", other.id);
        self.requests(Method::DELETE, &path, None).await.status().as_u16()
    }

    /// Adds participants to a group. Returns the status.
    pub(crate) async fn adds(&self, conversation: &str, others: &[&User]) -> u16 {
        let ids: Vec<_> = others.iter().map(|other| &other.id).collect();
        let path = format!("/api/conversations/{conversation}/participants");
        self.posts(&path, &json!({ "userIds": ids })).await.status().as_u16()
    }

    /// A conversation as this user sees it.
    pub(crate) async fn sees(&self, conversation: &str) -> Conversation {
        let answer = self.gets(&format!("/api/conversations/{conversation}")).await;
        assert_eq!(answer.status(), 200);
        answer.json().await.expect("it answers as the protocol says")
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

    /// One page of what has changed in a conversation.
    pub(crate) async fn catches_up(&self, conversation: &str, query: &str) -> Changes {
        let answer = self.gets(&format!("/api/conversations/{conversation}/changes{query}")).await;
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
