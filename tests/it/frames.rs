//! Frames that make no sense are answered, and the connection lives on.

use protocol::Code;
use serde_json::json;

use crate::harness::{Frame, Stack};

#[tokio::test]
async fn nonsense_is_answered_and_the_connection_lives_on() {
    let stack = Stack::shared();
    let mut phone = stack.user("Alice").connects().await;
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
    let mut phone = stack.user("Alice").connects().await;
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
