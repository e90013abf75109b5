//! Messages are read.

use std::sync::Arc;

use harness::{Stack, connect};
use protocol::{Code, Event};
use serde_json::json;

use crate::people::{Client, Frame, Pair, User, pair};

/// The conversation, the reader, and the `seq`.
fn read(event: &Event) -> Option<(String, String, i64)> {
    match event {
        Event::MessagesRead { conversation_id, reader_id, up_to_seq, .. } => {
            Some((conversation_id.to_string(), reader_id.as_str().to_owned(), up_to_seq.0))
        }
        _ => None,
    }
}

async fn unread(stack: &Arc<Stack>, conversation: &str) -> Vec<(String, i64, i64)> {
    let database = connect(stack.postgres_url()).await;
    let rows = database
        .query(
            "select user_id, last_seq - read_up_to - (sent - sent_read),
                    (select count(*) from messages
                     where messages.conversation_id = participants.conversation_id
                       and messages.sender_id <> participants.user_id
                       and messages.seq > participants.read_up_to)
             from participants join conversations on id = conversation_id
             where conversation_id::text = $1 order by user_id",
            &[&conversation],
        )
        .await
        .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

async fn marks_read(client: &mut Client, conversation: &str, up_to: Option<i64>) -> (String, String, i64) {
    let mut frame = json!({ "action": "mark_read", "conversationId": conversation });
    if let Some(up_to) = up_to {
        frame["upToSeq"] = up_to.into();
    }
    read(&client.asks(frame).await).expect("it is answered with messages_read")
}

#[tokio::test]
async fn both_sides_learn_how_far_somebody_has_read() {
    let stack = Stack::shared();
    let Pair { alice_phone: mut phone, bob, mut bob_phone, conversation, .. } = pair(&stack).await;
    let mut bob_laptop = bob.connects().await;
    for number in 1..=5 {
        phone.says(&conversation, &format!("{number}")).await;
    }
    let up_to = |seq| (conversation.clone(), bob.id.clone(), seq);
    assert_eq!(marks_read(&mut bob_phone, &conversation, Some(3)).await, up_to(3));
    for client in [&mut phone, &mut bob_laptop] {
        assert_eq!(client.hears(read).await, up_to(3));
    }
    let counts = |user: &str, counts: Vec<(String, i64, i64)>| {
        counts.into_iter().find(|(id, ..)| id == user).map(|(_, a, b)| (a, b))
    };
    assert_eq!(counts(&bob.id, unread(&stack, &conversation).await), Some((2, 2)));

    assert_eq!(marks_read(&mut bob_phone, &conversation, None).await, up_to(5), "all of them by default");
    assert_eq!(phone.hears(read).await, up_to(5));
    assert_eq!(marks_read(&mut bob_phone, &conversation, Some(5)).await, up_to(5));
    assert_eq!(marks_read(&mut bob_phone, &conversation, Some(99)).await, up_to(5), "there are no more");
    assert!(!phone.has_heard().await.iter().any(|event| read(event).is_some()), "nothing changed any more");
    assert!(
        !bob_phone.has_heard().await.iter().any(|event| read(event).is_some()),
        "it knows from its answer"
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let stack = Stack::shared();
    let Pair { conversation, .. } = pair(&stack).await;
    let mut mallory = User::of(&stack, "Mallory").connects().await;
    let mark = |conversation: &str, up_to: serde_json::Value| {
        json!({ "action": "mark_read",
        "conversationId": conversation, "upToSeq": up_to })
    };
    assert_eq!(mallory.is_refused(mark(&conversation, json!(1))).await.0, Code::Forbidden);
    let (code, message) = mallory.is_refused(mark(&conversation, json!(-1))).await;
    assert_eq!((code, message.as_str()), (Code::InvalidRequest, "upToSeq: must not be negative"));
    let (code, message) = mallory.is_refused(mark(&conversation, json!("1"))).await;
    assert_eq!(
        (code, message.as_str()),
        (Code::InvalidRequest, "upToSeq: invalid type: string \"1\", expected i64")
    );
}

/// Unread counts are moved by arithmetic while both users send and read at once from two devices each. A
/// recount has to agree.
#[tokio::test]
async fn unread_counts_stay_exact_while_messages_and_reads_race() {
    let stack = Stack::shared();
    let Pair { alice, mut alice_phone, bob, mut bob_phone, conversation } = pair(&stack).await;
    let (mut alice_laptop, mut bob_laptop) = tokio::join!(alice.connects(), bob.connects());
    for round in 0..4_usize {
        let mut asked = Vec::new();
        for step in 0..12_usize {
            for (at, client) in
                [&mut alice_phone, &mut bob_phone, &mut alice_laptop, &mut bob_laptop].into_iter().enumerate()
            {
                // All interleavings occur over the rounds.
                let frame = match (step * 7 + at * 3 + round * 5) % 4 {
                    0 | 1 => {
                        json!({ "action": "send_message", "conversationId": conversation, "content": "x",
                            "clientMessageId": format!("{round} {step} {at}") })
                    }
                    2 => json!({ "action": "mark_read", "conversationId": conversation }),
                    _ => {
                        json!({ "action": "mark_read", "conversationId": conversation,
                            "upToSeq": round * 20 + step })
                    }
                };
                asked.push((at, frame.clone(), client.sends(frame).await));
            }
        }
        // Reading the conversation marks messages with another statement.
        let (alices, bobs) =
            tokio::join!(alice.reads(&conversation, ""), bob.reads(&conversation, "?limit=1"));
        assert!(alices.messages.len() + bobs.messages.len() > 0);
        for (at, frame, mut id) in asked {
            let clients = [&mut alice_phone, &mut bob_phone, &mut alice_laptop, &mut bob_laptop];
            loop {
                match clients[at].is_answered(&id).await {
                    Frame::Event(_) => break,
                    // On a busy machine so many statements that wait for each other may time out.
                    Frame::Error(error) if error.error.retryable => {
                        id = clients[at].sends(frame.clone()).await;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        for (user, counted, recounted) in unread(&stack, &conversation).await {
            assert_eq!(counted, recounted, "of {user} in round {round}");
        }
    }
}
