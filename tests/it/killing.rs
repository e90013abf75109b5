//! Processes are killed, and the service continues.

use std::sync::Arc;

use harness::{Stack, StackOptions, children, connect, eventually, folder, has_ended};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::people::{Frame, Pair, pair};

#[tokio::test]
async fn a_function_killed_in_the_middle_fails_one_frame_only() {
    let (stack, database) = Stack::own(&[]).await;
    let stack = Arc::new(stack);
    let Pair { mut alice_phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    alice_phone.says(&conversation, "before").await;

    // The conversation's row is locked, so the send waits in Postgres.
    let mut holder = connect(&database.url).await;
    let lock = holder.transaction().await.unwrap();
    lock.execute("select from conversations where id::text = $1 for update", &[&conversation]).await.unwrap();
    let message = json!({
        "action": "send_message", "conversationId": conversation, "content": "during",
            "clientMessageId": "retry me",
    });
    alice_phone.sends(message.clone()).await;
    let observer = connect(&database.url).await;
    eventually("the send waits for the lock", async || {
        let waiting =
            "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        !observer.query(waiting, &[]).await.unwrap().is_empty()
    })
    .await;

    stack.kills("send_message");
    let Frame::Gateway(frame) = alice_phone.receives_where(|frame| matches!(frame, Frame::Gateway(_))).await
    else {
        unreachable!("only such a frame fits");
    };
    assert_eq!(frame["message"], "Internal server error");
    assert!(frame["connectionId"].is_string() && frame["requestId"].is_string());
    lock.rollback().await.unwrap();

    let retried = alice_phone.asks(message).await;
    let protocol::Event::NewMessage(retried) = retried else { panic!("answered with {retried:?}") };
    assert_eq!(
        (retried.seq.0, retried.content.as_str()),
        (2, "during"),
        "whether or not the first try was committed"
    );
    assert_eq!(alice_phone.says(&conversation, "after").await.seq.0, 3);
    let stored = observer.query("select from messages where content = 'during'", &[]).await.unwrap();
    assert_eq!(stored.len(), 1);
}

#[tokio::test]
async fn a_killed_stack_leaves_nothing_running_and_loses_nothing() {
    let folder = folder();
    let start =
        || Arc::new(Stack::start(&StackOptions { data_dir: Some(folder.path()), ..StackOptions::default() }));
    let stack = start();
    let Pair { mut alice_phone, conversation, .. } = pair(&stack).await;
    let sent = alice_phone.says(&conversation, "keep this").await;

    let started = children(stack.pid);
    assert!(started.iter().any(|(_, name)| name == "postgres"), "among {started:?}");
    stack.signal(Signal::SIGKILL);
    stack.wait();
    eventually("its children are gone", async || started.iter().all(|(pid, _)| has_ended(*pid))).await;

    let stack = start();
    let database = connect(stack.postgres_url()).await;
    let kept: String = database
        .query_one("select content from messages where id = $1", &[&sent.id.as_uuid()])
        .await
        .unwrap()
        .get(0);
    assert_eq!(kept, "keep this");
    let Pair { mut alice_phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    let sent = alice_phone.says(&conversation, "and go on").await;
    assert_eq!(bob_phone.receives_message().await, sent);
}

#[tokio::test]
async fn a_stack_that_is_asked_to_stop_stops_everything() {
    let folder = folder();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let options =
            StackOptions { args: &["--ephemeral"], data_dir: Some(folder.path()), ..StackOptions::default() };
        let stack = Arc::new(Stack::start(&options));
        let Pair { mut alice_phone, conversation, .. } = pair(&stack).await;
        alice_phone.says(&conversation, "bye").await;
        let started = children(stack.pid);
        assert!(started.iter().any(|(_, name)| name == "send_message"), "among {started:?}");
        stack.signal(signal);
        assert!(stack.wait().success(), "it was asked to");
        eventually("its children are gone", async || started.iter().all(|(pid, _)| has_ended(*pid))).await;
    }
}
