//! A connection breaks, and no message is missed.

use harness::Stack;
use protocol::Event;
use serde_json::json;

use crate::people::{Pair, pair};

#[tokio::test]
async fn a_ping_tells_where_the_conversations_stand() {
    let stack = Stack::shared();
    let Pair { alice_phone: mut phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    phone.says(&conversation, "1").await;
    phone.says(&conversation, "2").await;
    let Event::Pong { conversations, token_expires_at, server_time } =
        bob_phone.asks(json!({ "action": "ping" })).await
    else {
        panic!("a ping is answered with pong");
    };
    let heads: Vec<_> =
        conversations.iter().map(|head| (head.conversation_id.to_string(), head.last_seq.0)).collect();
    assert_eq!(heads, [(conversation, 2)]);
    let left = token_expires_at.0 - server_time.0;
    assert!((3500..=3600).contains(&left.whole_seconds()), "the token is good for an hour: {left}");
}

#[tokio::test]
async fn a_receiver_who_was_away_gets_every_message_once_and_in_order() {
    let stack = Stack::shared();
    let Pair { mut alice_phone, bob, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    for number in 1..=3 {
        alice_phone.says(&conversation, &format!("{number}")).await;
    }
    let mut seen = Vec::new();
    for _ in 1..=3 {
        seen.push(bob_phone.receives_message().await);
    }
    bob_phone.breaks_off();
    for number in 4..=8 {
        alice_phone.says(&conversation, &format!("{number}")).await;
    }

    let mut bob_phone = bob.connects().await;
    let Event::Pong { conversations, .. } = bob_phone.asks(json!({ "action": "ping" })).await else {
        panic!("no pong")
    };
    assert_eq!(conversations[0].last_seq.0, 8, "five are missing");
    bob_phone.joins(&conversation).await;
    alice_phone.says(&conversation, "9").await;
    let last = seen.last().expect("three were seen").id;
    let missed = bob.reads(&conversation, &format!("?after={last}&limit=4")).await;
    assert!(missed.has_more);
    seen.extend(missed.messages);
    let last = seen.last().expect("more were seen").id;
    let missed = bob.reads(&conversation, &format!("?after={last}")).await;
    assert!(!missed.has_more);
    seen.extend(missed.messages);
    let pushed = bob_phone.receives_message().await;
    if seen.iter().all(|message| message.id != pushed.id) {
        seen.push(pushed);
    }
    let seqs: Vec<_> = seen.iter().map(|message| message.seq.0).collect();
    assert_eq!(seqs, (1..=9).collect::<Vec<_>>());
    let contents: Vec<_> = seen.iter().map(|message| message.content.clone()).collect();
    assert_eq!(contents, (1..=9).map(|number| number.to_string()).collect::<Vec<_>>());
}
