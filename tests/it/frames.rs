//! Invalid frames are answered, and the connection stays open.

use harness::Stack;
use protocol::Code;
use serde_json::json;

use crate::people::{Frame, Pair, User, pair};

#[tokio::test]
async fn nonsense_is_answered_and_the_connection_lives_on() {
    let stack = Stack::shared();
    let mut phone = User::of(&stack, "Alice").connects().await;
    let cases = [
        ("hello", "the frame must be JSON: expected value at line 1 column 1"),
        ("[]", "the frame must be a JSON object"),
        ("[{\"action\":\"send_message\"}]", "the frame must be a JSON object"),
        ("\"send_message\"", "the frame must be a JSON object"),
        ("null", "the frame must be a JSON object"),
        ("", "the frame must be JSON: EOF while parsing a value at line 1 column 0"),
        ("{}", "action: missing"),
        ("{\"action\":\"fly\"}", "action: unknown"),
        ("{\"action\":\"$connect\"}", "action: unknown"),
        ("{\"action\":7}", "action: unknown"),
    ];
    for (text, reason) in cases {
        phone.sends_text(text).await;
        let Frame::Error(answer) = phone.receives().await else { panic!("{text} is no frame") };
        assert_eq!(
            (answer.error.code, answer.error.message.as_str()),
            (Code::InvalidRequest, reason),
            "for {text}"
        );
        assert_eq!(answer.id, None);
    }
}

#[tokio::test]
async fn an_answer_carries_the_id_of_its_frame() {
    let stack = Stack::shared();
    let mut phone = User::of(&stack, "Alice").connects().await;
    let longest = "é".repeat(64);
    phone.sends_text(&json!({ "id": longest, "action": "fly" }).to_string()).await;
    assert!(matches!(phone.is_answered(&longest).await, Frame::Error(_)));
    for id in [json!("x".repeat(65)), json!(7), json!({})] {
        phone.sends_text(&json!({ "id": id, "action": "fly" }).to_string()).await;
        let Frame::Error(answer) = phone.receives().await else { panic!("{id} is no id") };
        assert_eq!(answer.error.code, Code::InvalidRequest);
        assert!(answer.error.message.starts_with("id: "), "{}", answer.error.message);
        assert_eq!(answer.id, None);
    }
}

#[tokio::test]
async fn what_a_frame_should_not_hold_is_told_with_its_id() {
    let stack = Stack::shared();
    let Pair { alice_phone: mut phone, conversation, .. } = pair(&stack).await;
    let nested = "[".repeat(10_000) + &"]".repeat(10_000);
    for odd in [r#""\ud83d""#, r#""\ud83dx""#, "1e400", nested.as_str()] {
        let send = |fields: &str| {
            format!(r#"{{"action":"send_message","id":"it","conversationId":"{conversation}",{fields}}}"#)
        };
        phone.sends_text(&send(&format!(r#""content":{odd}"#))).await;
        let Frame::Error(answer) = phone.is_answered("it").await else { panic!("{odd:.20} is no content") };
        assert_eq!(answer.error.code, Code::InvalidRequest);
        assert!(answer.error.message.starts_with("content: "), "{}", answer.error.message);
        // An unknown field may hold anything.
        phone.sends_text(&send(&format!(r#""extra":{odd},"content":"hi""#))).await;
        assert!(matches!(phone.is_answered("it").await, Frame::Event(_)), "{odd:.20}");
    }
    // The `id` of a frame that is not JSON is answered if it comes before the error.
    phone.sends_text(r#"{"id":"it","action":"send_message","content":"#).await;
    assert!(matches!(phone.is_answered("it").await, Frame::Error(_)));
    // The same for bodies of the HTTP API.
    let user = User::of(&stack, "Carol");
    user.connects().await.closes().await;
    let body = format!(r#"{{"extra":[1e400,"\ud83d",{nested}],"otherUserId":"{}"}}"#, user.id);
    let answer = reqwest::Client::new()
        .post(stack.http("/api/conversations/find-or-create"))
        .bearer_auth(User::of(&stack, "Dave").token())
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
}
