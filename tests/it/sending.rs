//! A message is sent.

use std::collections::BTreeSet;

use harness::{Stack, connect};
use protocol::{Code, Event};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use uuid::Uuid;

use crate::people::{Pair, User, pair};

#[tokio::test]
async fn a_message_is_stored_and_received() {
    let stack = Stack::shared();
    let Pair { alice, mut alice_phone, bob, mut bob_phone, conversation } = pair(&stack).await;
    for client in [&mut alice_phone, &mut bob_phone] {
        let mut joined = client.joins(&conversation).await;
        assert_eq!(joined.last_seq, 0);
        joined.online_user_ids.sort();
        assert_eq!(joined.online_user_ids, [alice.id.clone(), bob.id.clone()]);
    }

    let sent = alice_phone.says(&conversation, "Hello, Bob! 👋").await;
    let received = bob_phone.receives_message().await;
    assert_eq!(received, sent, "both see the same message");
    assert_eq!(received.seq.0, 1);
    assert_eq!(received.content, "Hello, Bob! 👋");
    assert_eq!(received.conversation_id.to_string(), conversation);
    assert_eq!(received.sender_id.as_str(), alice.id);
    assert_eq!(received.sender.id.as_str(), alice.id);
    assert_eq!(received.sender.name.as_deref(), Some("Alice Example"));
    assert_eq!(received.sender.display_name.as_deref(), Some("Alice"));
    assert_eq!(received.sender.avatar_url, Some(format!("https://example.com/{}.png", alice.id)));
    assert_eq!(received.read_at, None);

    let database = connect(stack.postgres_url()).await;
    let id: Uuid = received.id.as_uuid();
    let row = database
        .query_one(
            "select conversation_id::text, seq, sender_id, content, created_at from messages where id = $1",
            &[&id],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), conversation);
    assert_eq!(row.get::<_, i64>(1), 1);
    assert_eq!(row.get::<_, String>(2), alice.id);
    assert_eq!(row.get::<_, String>(3), "Hello, Bob! 👋");
    let unread = "select user_id, last_seq - read_up_to - (sent - sent_read)
         from participants join conversations on id = conversation_id
         where conversation_id::text = $1 order by user_id";
    let unread: Vec<_> = database
        .query(unread, &[&conversation])
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    assert_eq!(unread, [(alice.id, 0_i64), (bob.id, 1)]);
    let last: i64 = database
        .query_one(
            "select last_seq from conversations where id::text = $1 and last_message_at = (select \
            created_at from messages where id = $2)",
            &[&conversation, &id],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(last, 1);
}

#[tokio::test]
async fn every_device_that_joined_gets_it_and_no_other() {
    let stack = Stack::shared();
    let Pair { alice, alice_phone: mut phone, bob, mut bob_phone, conversation } = pair(&stack).await;
    let (mut laptop, mut bob_laptop, mut bob_tv) =
        tokio::join!(alice.connects(), bob.connects(), bob.connects());
    for client in [&mut phone, &mut laptop, &mut bob_phone, &mut bob_laptop] {
        client.joins(&conversation).await;
    }
    let sent = phone.says(&conversation, "to all of you").await;
    for client in [&mut laptop, &mut bob_phone, &mut bob_laptop] {
        assert_eq!(client.receives_message().await, sent);
    }
    assert!(phone.has_received().await.is_empty(), "the sending connection gets it only as its answer");
    assert!(bob_tv.has_received().await.is_empty(), "it did not join");
    assert!(laptop.has_received().await.is_empty(), "nobody gets it twice");

    let left =
        bob_laptop.asks(json!({ "action": "leave_conversation", "conversationId": conversation })).await;
    assert!(matches!(left, Event::LeftConversation { .. }));
    let second = phone.says(&conversation, "and to those who stayed").await;
    assert_eq!(bob_phone.receives_message().await, second);
    assert!(bob_laptop.has_received().await.is_empty(), "it left");
}

#[tokio::test]
async fn who_has_not_joined_hears_that_there_is_something() {
    let stack = Stack::shared();
    let Pair { alice, alice_phone: mut phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    let mut laptop = alice.connects().await;
    phone.joins(&conversation).await;
    let updated = |event: &Event| match event {
        Event::ConversationUpdated { conversation_id, last_message, last_seq, unread_count } => {
            Some((conversation_id.to_string(), last_message.clone(), last_seq.0, *unread_count))
        }
        _ => None,
    };
    for number in 1..=3 {
        let sent = phone.says(&conversation, "are you there?").await;
        assert_eq!(bob_phone.hears(updated).await, (conversation.clone(), sent.clone(), number, number));
        assert_eq!(
            laptop.hears(updated).await,
            (conversation.clone(), sent, number, 0),
            "her own are not unread"
        );
    }
    assert!(!phone.has_heard().await.iter().any(|event| updated(event).is_some()), "it has joined");
    assert!(bob_phone.has_received().await.is_empty(), "it has not");

    // A repeat of an older message is not pushed to those who have not joined.
    let first = phone
        .sends_message(json!({ "conversationId": conversation, "content": "4", "clientMessageId": "4" }))
        .await;
    phone.says(&conversation, "5").await;
    let repeat = json!({ "conversationId": conversation, "content": "4", "clientMessageId": "4" });
    assert_eq!(phone.sends_message(repeat).await, first);
    let heard: Vec<_> = bob_phone
        .has_heard()
        .await
        .iter()
        .filter_map(updated)
        .map(|(_, _, seq, unread)| (seq, unread))
        .collect();
    assert_eq!(heard, [(4, 4), (5, 5)]);
}

#[tokio::test]
async fn a_send_needs_no_join() {
    let stack = Stack::shared();
    let Pair { mut alice_phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    let sent = alice_phone.says(&conversation, "from the lock screen").await;
    assert_eq!(bob_phone.receives_message().await, sent);
}

#[tokio::test]
async fn a_repeat_is_stored_once_and_pushed_again() {
    let stack = Stack::shared();
    let Pair { mut alice_phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    let message = json!({ "conversationId": conversation, "content": "once", "clientMessageId": "first" });
    let sent = alice_phone.sends_message(message.clone()).await;
    assert_eq!(sent.client_message_id.as_deref(), Some("first"));
    assert_eq!(bob_phone.receives_message().await, sent);

    let mut changed = message;
    changed["content"] = "twice?".into();
    assert_eq!(alice_phone.sends_message(changed).await, sent, "the stored message is the answer");
    assert_eq!(bob_phone.receives_message().await, sent, "the first push may have been lost");

    let bobs = json!({ "conversationId": conversation, "content": "mine", "clientMessageId": "first" });
    assert_eq!(bob_phone.sends_message(bobs).await.seq.0, 2, "the name is the sender's own");
    assert_eq!(alice_phone.says(&conversation, "next").await.seq.0, 3, "no number was lost");
}

#[tokio::test]
async fn equal_sends_at_once_are_one_message() {
    let stack = Stack::shared();
    let Pair { alice, alice_phone: mut phone, conversation, .. } = pair(&stack).await;
    let mut laptop = alice.connects().await;
    for round in 1..=10 {
        let message = json!({
            "conversationId": conversation, "content": "hi", "clientMessageId": format!("round {round}"),
        });
        let (one, other) =
            tokio::join!(phone.sends_message(message.clone()), laptop.sends_message(message.clone()));
        assert_eq!(one, other);
        assert_eq!(one.seq.0, round, "the one that was second took no number");
    }
}

#[tokio::test]
async fn fifty_sends_at_once_get_the_numbers_1_to_50() {
    let stack = Stack::shared();
    let Pair { mut alice_phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    let message = |number: usize| {
        json!({ "action": "send_message", "conversationId": conversation,
        "content": format!("number {number}") })
    };
    let mut asked = Vec::new();
    for number in 0..25 {
        asked.push((alice_phone.sends(message(number)).await, bob_phone.sends(message(number)).await));
    }
    let mut seqs = BTreeSet::new();
    for (alices, bobs) in asked {
        for answer in [alice_phone.is_answered(&alices).await, bob_phone.is_answered(&bobs).await] {
            let crate::people::Frame::Event(protocol::Answer { event: Event::NewMessage(message), .. }) =
                answer
            else {
                panic!("answered with {answer:?}");
            };
            seqs.insert(message.seq.0);
        }
    }
    assert_eq!(seqs, (1..=50).collect());
    let mut received = BTreeSet::new();
    while received.len() < 25 {
        received.insert(bob_phone.receives_message().await.seq.0);
    }
    assert!(received.is_subset(&seqs), "Bob got each of Alice's");
}

#[tokio::test]
async fn the_longest_content_passes() {
    let stack = Stack::shared();
    let Pair { mut alice_phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    for content in
        ["😀".repeat(2000), format!(" \n{}\t ", "é".repeat(1996)), "\u{1}\u{7f}\u{fffd}".to_owned()]
    {
        assert_eq!(alice_phone.says(&conversation, &content).await.content, content);
        assert_eq!(bob_phone.receives_message().await.content, content);
    }
}

#[tokio::test]
async fn content_that_is_none_is_refused_and_says_why() {
    let stack = Stack::shared();
    let Pair { alice_phone: mut phone, conversation, .. } = pair(&stack).await;
    let cases = [
        (json!("a".repeat(2001)), "content: must be at most 2000 characters long, not 2001"),
        (json!("😀".repeat(2001)), "content: must be at most 2000 characters long, not 2001"),
        (json!(""), "content: must not be empty"),
        (json!(" \n\t\u{3000}"), "content: must not be blank"),
        (json!("a\0b"), "content: must not contain U+0000"),
        (json!(5), "content: invalid type: integer `5`, expected a string"),
        (Value::Null, "content: invalid type: null, expected a string"),
    ];
    for (content, reason) in cases {
        let frame = json!({ "action": "send_message", "conversationId": conversation, "content": content });
        assert_eq!(phone.is_refused(frame).await, (Code::InvalidRequest, reason.to_owned()));
    }
    let missing = json!({ "action": "send_message", "conversationId": conversation });
    assert_eq!(phone.is_refused(missing).await, (Code::InvalidRequest, "missing field `content`".to_owned()));

    let long = json!({ "id": "long", "action": "send_message", "conversationId": conversation,
        "content": "a".repeat(40 * 1024) });
    phone.sends_in_frames(&long.to_string(), 32 * 1024).await;
    let crate::people::Frame::Error(answer) = phone.is_answered("long").await else {
        panic!("it is too long")
    };
    assert_eq!(answer.error.code, Code::InvalidRequest);
    assert_eq!(answer.error.message, "content: must be at most 2000 characters long, not 40960");
    assert!(!answer.error.retryable);

    assert_eq!(phone.says(&conversation, "still here").await.seq.0, 1, "nothing of all that was stored");
}

#[tokio::test]
async fn other_fields_are_refused_by_name_too() {
    let stack = Stack::shared();
    let Pair { alice_phone: mut phone, conversation, .. } = pair(&stack).await;
    let send = |field: &str, value: Value| {
        let mut frame = json!({ "action": "send_message", "conversationId": conversation, "content": "hi" });
        frame[field] = value;
        frame
    };
    let cases = [
        ("conversationId", json!("nonsense"), "conversationId: must be a UUID"),
        ("conversationId", json!(7), "conversationId: invalid type: integer `7`, expected a string"),
        ("clientMessageId", json!(""), "clientMessageId: must not be empty"),
        (
            "clientMessageId",
            json!("x".repeat(65)),
            "clientMessageId: must be at most 64 characters long, not 65",
        ),
        ("clientMessageId", json!("\0"), "clientMessageId: must not contain U+0000"),
    ];
    for (field, value, reason) in cases {
        assert_eq!(phone.is_refused(send(field, value)).await, (Code::InvalidRequest, reason.to_owned()));
    }
}

#[tokio::test]
async fn a_frame_beyond_32_kb_closes_the_connection() {
    let stack = Stack::shared();
    let mut phone = User::of(&stack, "Alice").connects().await;
    phone.sends_text(&"a".repeat(33 * 1024)).await;
    assert_eq!(phone.is_closed().await, CloseCode::Size);
}

#[tokio::test]
async fn a_stranger_and_an_unknown_conversation_are_told_the_same() {
    let stack = Stack::shared();
    let Pair { conversation, .. } = pair(&stack).await;
    let mut mallory = User::of(&stack, "Mallory").connects().await;
    let unknown = Uuid::now_v7().to_string();
    let mut told = BTreeSet::new();
    for conversation in [&conversation, &unknown] {
        for action in ["send_message", "join_conversation"] {
            let frame = json!({ "action": action, "conversationId": conversation, "content": "let me in" });
            let (code, message) = mallory.is_refused(frame).await;
            assert_eq!(code, Code::Forbidden);
            told.insert(message);
        }
    }
    assert_eq!(told.len(), 1, "no telling which of the two it is: {told:?}");
}
