//! Dependencies go away, and come back.

use std::sync::Arc;

use harness::{Server, Stack, StackOptions, connect, eventually, folder};
use nix::sys::signal::Signal;
use protocol::{Code, Event};
use serde_json::json;

use crate::people::{Client, Frame, Pair, pair};
use crate::stand_ins::dynamodb::{DynamoDb, Mood};

async fn is_unavailable(client: &mut Client, frame: serde_json::Value) {
    let id = client.sends(frame.clone()).await;
    let Frame::Error(answer) = client.is_answered(&id).await else { panic!("{frame} was carried out") };
    assert_eq!((answer.error.code, answer.error.retryable), (Code::Unavailable, true), "{frame}");
}

#[tokio::test]
async fn postgres_goes_away_and_comes_back() {
    let folder = folder();
    let options = StackOptions { data_dir: Some(folder.path()), ..StackOptions::default() };
    let stack = Arc::new(Stack::start(&options));
    let mut server = Server::of(&stack);
    let Pair { alice, alice_phone: mut phone, bob, mut bob_phone, conversation } = pair(&stack).await;
    let bob_laptop = bob.connects().await;
    phone.joins(&conversation).await;
    bob_phone.joins(&conversation).await;
    let before = phone.says(&conversation, "before").await;
    bob_phone.receives_message().await;

    server.stops(Signal::SIGINT).await;
    eventually("the stack says so", async || stack.log().contains("Postgres has ended")).await;
    let message = json!({
        "action": "send_message", "conversationId": conversation, "content": "during",
            "clientMessageId": "again and again",
    });
    is_unavailable(&mut phone, message.clone()).await;
    is_unavailable(&mut phone, message.clone()).await;
    for action in ["join_conversation", "mark_read", "ping"] {
        is_unavailable(&mut phone, json!({ "action": action, "conversationId": conversation })).await;
    }
    let react = json!({ "action": "add_reaction", "messageId": before.id, "reaction": "👀" });
    is_unavailable(&mut phone, react).await;
    let answer = alice.gets("/api/conversations").await;
    assert_eq!(answer.status(), 503);
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body["error"]["code"], "unavailable");
    assert_eq!(alice.gets(&format!("/api/conversations/{conversation}/messages")).await.status(), 503);
    assert_eq!(Client::connect(&stack, &alice.token()).await.expect_err("nobody can connect"), 503);
    phone.sends(json!({ "action": "typing_start", "conversationId": conversation })).await;
    bob_phone.hears(|event| matches!(event, Event::UserTyping { .. }).then_some(())).await;

    // The sweep does the work of a failed disconnect, so it is no error of the function.
    bob_laptop.closes().await;
    let left = || stack.log().lines().any(|line| line.contains("disconnect: unavailable"));
    eventually("a disconnect finds no Postgres", async || left()).await;

    server.starts().await;
    let phone = tokio::sync::Mutex::new(phone);
    eventually("the same send succeeds", async || {
        let phone = &mut *phone.lock().await;
        let id = phone.sends(message.clone()).await;
        match phone.is_answered(&id).await {
            Frame::Event(answer) => {
                let Event::NewMessage(message) = answer.event else {
                    panic!("answered with {:?}", answer.event)
                };
                assert_eq!(message.seq.0, 2, "nothing half done was left behind");
                true
            }
            Frame::Error(error) => {
                assert_eq!(error.error.code, Code::Unavailable, "until it is back");
                false
            }
            Frame::Gateway(frame) => panic!("a function failed: {frame}"),
        }
    })
    .await;
    assert_eq!(bob_phone.receives_message().await.seq.0, 2);
    alice.connects().await.asks(json!({ "action": "ping" })).await;
    assert_eq!(alice.lists_conversations("").await.conversations[0].last_seq.0, 2);
    // By now the disconnect has ended.
    assert!(!stack.log().contains("$disconnect failed"));
}

#[tokio::test]
async fn dynamodb_goes_away_and_comes_back() {
    let dynamodb = DynamoDb::start().await;
    let (stack, _database) = Stack::own_with(&[("AWS_ENDPOINT_URL_DYNAMODB", &dynamodb.url)]).await;
    dynamodb.pass_on_to(&stack.dynamodb_url);
    let Pair { alice, alice_phone: mut phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    phone.joins(&conversation).await;
    let mut sent = 0;
    for mood in [Mood::Throttling, Mood::Down] {
        dynamodb.is(mood);
        for action in ["join_conversation", "leave_conversation", "ping", "typing_start"] {
            is_unavailable(&mut phone, json!({ "action": action, "conversationId": conversation })).await;
        }
        assert_eq!(Client::connect(&stack, &alice.token()).await.expect_err("nobody can connect"), 503);
        assert_eq!(alice.gets("/api/conversations").await.status(), 503);
        sent += 1;
        let missed = phone.says(&conversation, "committed is committed").await;
        assert_eq!(missed.seq.0, sent, "a send is a success although nobody could be told");
        let edited = phone.edits(&missed, "committed is committed!").await;
        assert_eq!(phone.edits(&missed, &edited.content).await, edited, "and so is a change, also repeated");

        dynamodb.is(Mood::Well);
        phone.joins(&conversation).await;
        sent += 1;
        let seen = phone.says(&conversation, "and now they are told").await;
        assert_eq!(bob_phone.receives_message().await, seen, "who sees the gap");
        assert_eq!(seen.seq.0, sent);
        let later = phone.reacts(&missed, "👀").await;
        assert_eq!(bob_phone.sees_change().await, later, "who sees that gap too");
        assert_eq!(later.change.map(|change| change.0), edited.change.map(|change| change.0 + 1));
        alice.connects().await.closes().await;
    }
    assert_eq!(alice.reads(&conversation, "").await.messages.len(), 4);
}

#[tokio::test]
async fn a_function_starts_while_nothing_answers() {
    let dynamodb = DynamoDb::start().await;
    let (stack, database) = Stack::own_with(&[("AWS_ENDPOINT_URL_DYNAMODB", &dynamodb.url)]).await;
    dynamodb.pass_on_to(&stack.dynamodb_url);
    let Pair { alice_phone: mut phone, conversation, .. } = pair(&stack).await;
    let mut holder = connect(&database.url).await;
    let lock = holder.transaction().await.unwrap();
    lock.execute("lock table conversations in access exclusive mode", &[]).await.unwrap();
    dynamodb.is(Mood::Stalled);
    // No process of this function has been started. It could not prepare its statement before the lock ends.
    let mark = json!({ "action": "mark_read", "conversationId": conversation });
    is_unavailable(&mut phone, mark.clone()).await;
    lock.rollback().await.unwrap();
    dynamodb.is(Mood::Well);
    phone.asks(mark).await;
    let reports = stack.records("platform.report").into_iter().filter(|(of, _)| of == "mark_read");
    let starts: Vec<_> =
        reports.filter_map(|(_, report)| report["metrics"]["initDurationMs"].as_f64()).collect();
    // The limits of an event are three seconds and more.
    assert!(starts.len() == 1 && starts[0] < 2500.0, "a start has limits of its own: {starts:?}");
}
