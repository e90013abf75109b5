//! A send is repeated or refused while the reason for that changes. Each story forces one order of events.

use std::sync::Arc;

use harness::{Stack, StackOptions, connect, eventually};
use protocol::{Answer, Event, Message};
use serde_json::{Value, json};

use crate::people::{Frame, Pair, pair};
use crate::queue::{Call, in_turn};

fn send(conversation: &str, client_message_id: Option<&str>) -> Value {
    json!({ "action": "send_message", "conversationId": conversation, "content": "hi",
        "clientMessageId": client_message_id })
}

/// The message that a send is answered with.
fn stored(answer: &Frame) -> &Message {
    match answer {
        Frame::Event(Answer { event: Event::NewMessage(message), .. }) => message,
        other => panic!("answered with {other:?}"),
    }
}

/// The first waits for the conversation, and the second for the first one's place in the minute. If the limit
/// leaves no place to the second, that is refused; else it violates a unique key.
#[tokio::test]
async fn equal_sends_at_once_are_one_message_and_one_place_in_the_minute() {
    for limit in ["1", "2"] {
        let (stack, _database) = Stack::own_with(&[("MAX_MESSAGES_PER_MINUTE", limit)]).await;
        let Pair { alice, alice_phone, conversation, .. } = pair(&stack).await;
        let mut clients = [alice_phone, alice.connects().await];
        let row = format!("conversations where id = '{conversation}'");
        let calls = [0, 1].map(|client| Call::Frame(client, send(&conversation, Some("one"))));
        let [first, second] = in_turn(&stack, &row, &mut clients, calls).await;
        assert_eq!(stored(first.frame()).seq.0, 1);
        assert_eq!(stored(second.frame()), stored(first.frame()));
        let taken = "select last_seq, count from conversations, rates
                     where conversations.id = $1::text::uuid and user_id = $2 and what = 'message'";
        let database = connect(stack.postgres_url()).await;
        let row = database.query_one(taken, &[&conversation, &alice.id]).await.unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i32>(1)), (1, 1), "of {limit}");
    }
}

/// The minute ends after the send was refused, and before the reason is looked up.
#[tokio::test]
async fn a_send_whose_refusal_has_no_reason_any_more_is_stored() {
    let (stack, _database) = Stack::own_with(&[("MAX_MESSAGES_PER_MINUTE", "1")]).await;
    let Pair { alice, alice_phone: mut phone, conversation, .. } = pair(&stack).await;
    phone.says(&conversation, "the only one of this minute").await;
    let (holder, watcher) = (connect(stack.postgres_url()).await, connect(stack.postgres_url()).await);
    holder
        .batch_execute(&format!("begin; select from rates where user_id = '{}' for update", alice.id))
        .await
        .unwrap();
    let asked = phone.sends(send(&conversation, None)).await;
    let waiting = "select from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock'";
    eventually("the send waits", async || !watcher.query(waiting, &[]).await.unwrap().is_empty()).await;
    // A minute ago from now, which is after the send began.
    holder
        .batch_execute("update rates set started_at = clock_timestamp() - interval '1 minute'; commit")
        .await
        .unwrap();
    assert_eq!(stored(&phone.is_answered(&asked).await).seq.0, 2);
    let counted = "select count from rates where user_id = $1 and what = 'message'";
    let counted: i32 = watcher.query_one(counted, &[&alice.id]).await.unwrap().get(0);
    assert_eq!(counted, 1, "in the new minute");
}

/// A commit that waits for a standby is done, but not answered.
#[tokio::test]
async fn a_send_whose_answer_is_lost_is_stored_once() {
    let settings = [
        "synchronous_standby_names=nobody",
        "synchronous_commit=local",
        "max_wal_senders=1",
        "wal_level=replica",
    ];
    let settings = settings.into_iter().flat_map(|setting| ["--postgres-setting", setting]);
    let args: Vec<_> = ["--ephemeral"].into_iter().chain(settings).collect();
    let stack = Arc::new(Stack::start(&StackOptions { args: &args, ..StackOptions::default() }));
    let Pair { alice_phone: mut phone, bob, conversation, .. } = pair(&stack).await;
    let database = connect(stack.postgres_url()).await;
    let new_connections_commit =
        |how: &str| format!("alter database postgres set synchronous_commit = '{how}'");
    let ends = |which: &str| {
        format!(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where pid <> pg_backend_pid() and backend_type = 'client backend' and {which}"
        )
    };
    for (seq, name) in [(1, None), (2, Some("named"))] {
        database.batch_execute(&new_connections_commit("on")).await.unwrap();
        database.batch_execute(&ends("true")).await.unwrap();
        let asked = phone.sends(send(&conversation, name)).await;
        let waiting = "select from pg_stat_activity where wait_event = 'SyncRep'";
        eventually("the send is committed", async || !database.query(waiting, &[]).await.unwrap().is_empty())
            .await;
        database.batch_execute(&new_connections_commit("local")).await.unwrap();
        database.batch_execute(&ends("wait_event = 'SyncRep'")).await.unwrap();
        assert_eq!(stored(&phone.is_answered(&asked).await).seq.0, seq, "named {name:?}");
    }
    let messages: i64 = database.query_one("select count(*) from messages", &[]).await.unwrap().get(0);
    assert_eq!(messages, 2);
    assert_eq!(bob.sees(&conversation).await.unread_count, 2);
}
