//! Rate limits.

use futures_util::future::join_all;
use harness::{Stack, connect, eventually};
use protocol::Code;
use serde_json::{Value, json};

use crate::people::{Client, Frame, Pair, User, pair};

/// Sends a message: the `seq`, or the refusal.
async fn tries(client: &mut Client, conversation: &str, id: &str) -> Result<i64, (Code, Option<u64>)> {
    let asked = client
        .sends(json!({
            "action": "send_message", "conversationId": conversation, "content": "again",
                "clientMessageId": id,
        }))
        .await;
    match client.is_answered(&asked).await {
        Frame::Event(answer) => {
            let protocol::Event::NewMessage(message) = answer.event else { panic!("{:?}", answer.event) };
            Ok(message.seq.0)
        }
        Frame::Error(refused) => Err((refused.error.code, refused.error.retry_after_ms)),
        Frame::Gateway(frame) => panic!("{frame}"),
    }
}

#[tokio::test]
async fn a_user_sends_so_many_messages_in_a_minute_and_no_more() {
    let (stack, database) = Stack::own_with(&[("MAX_MESSAGES_PER_MINUTE", "3")]).await;
    let Pair { alice, alice_phone: mut phone, bob: _bob, mut bob_phone, conversation } = pair(&stack).await;
    let mut laptop = alice.connects().await;
    assert_eq!(tries(&mut phone, &conversation, "0").await, Ok(1));
    assert_eq!(tries(&mut laptop, &conversation, "1").await, Ok(2));
    assert_eq!(tries(&mut phone, &conversation, "2").await, Ok(3));
    let Err((code, Some(wait))) = tries(&mut laptop, &conversation, "one too many").await else {
        panic!("a fourth is refused, and it is told when to try again");
    };
    assert_eq!(code, Code::RateLimited);
    assert!((1..=60_000).contains(&wait), "{wait}");
    assert_eq!(
        tries(&mut phone, &conversation, "1").await,
        Ok(2),
        "a repeat is answered with what is stored"
    );
    let elsewhere = "0197f1c0-0000-7000-8000-000000000000";
    assert_eq!(tries(&mut phone, elsewhere, "x").await, Err((Code::Forbidden, None)), "and is told nothing");
    assert_eq!(
        tries(&mut bob_phone, &conversation, "mine").await,
        Ok(4),
        "nobody else, and no number is lost"
    );
    let refusals = || -> Vec<Value> {
        let lines = stack.lines().into_iter().filter(|(function, _)| function == "send_message");
        lines.map(|(_, line)| line).filter(|line| line["outcome"] == "rate_limited").collect()
    };
    eventually("the refusal is in the log", async || !refusals().is_empty()).await;
    assert_eq!(refusals()[0]["postgres_calls"], 2, "the second call is for the reason");

    // A minute later.
    let minute = "update rates set started_at = started_at - interval '1 minute'";
    connect(&database.url).await.execute(minute, &[]).await.unwrap();
    let mut laptops = Vec::new();
    for _ in 0..8 {
        laptops.push(alice.connects().await);
    }
    let at_once = laptops
        .iter_mut()
        .enumerate()
        .map(async |(number, client)| tries(client, &conversation, &format!("at once {number}")).await);
    let stored = join_all(at_once).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(stored, 3, "however many are sent at once");
}

#[tokio::test]
async fn a_user_makes_so_many_conversations_in_a_minute_and_no_more() {
    let (stack, _database) =
        Stack::own_with(&[("MAX_CONVERSATIONS_PER_MINUTE", "2"), ("MAX_MESSAGES_PER_MINUTE", "0")]).await;
    let alice = User::of(&stack, "Alice");
    let others: Vec<_> = (0..3).map(|number| User::of(&stack, &format!("Other{number}"))).collect();
    let mut phone = alice.connects().await;
    join_all(others.iter().map(|other| other.connects())).await;
    let (status, conversation) = alice.asks_for_conversation_with(&others[0]).await;
    assert_eq!((status, alice.asks_for_conversation_with(&others[1]).await.0), (201, 201));
    let ask = async |other: &str| {
        alice.posts("/api/conversations/find-or-create", &json!({ "otherUserId": other })).await
    };
    let refused = ask(&others[2].id).await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["error"]["code"], "rate_limited");
    assert_eq!(alice.asks_for_conversation_with(&others[1]).await.0, 200, "what is there is found");
    assert_eq!(ask("nobody").await.status(), 404);
    assert_eq!(others[0].asks_for_conversation_with(&others[2]).await.0, 201, "others are not concerned");
    for number in 1..=20 {
        assert_eq!(tries(&mut phone, &conversation, &format!("{number}")).await, Ok(number), "0 is no limit");
    }
}
