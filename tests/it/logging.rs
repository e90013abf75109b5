//! The log: enough to operate the service, and nothing private.

use std::collections::BTreeMap;

use harness::{Stack, eventually};
use serde_json::{Value, json};

use crate::people::{Client, Pair, User, pair};
use crate::stand_ins::jwks::{Answers, Key, Provider};

#[tokio::test]
async fn every_invocation_has_one_line_with_its_metrics() {
    let (stack, _database) = Stack::own(&[]).await;
    let stack = std::sync::Arc::new(stack);
    let Pair { alice_phone: mut phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    phone.says(&conversation, "hi").await;
    let empty = json!({ "action": "send_message", "conversationId": conversation, "content": "" });
    phone.is_refused(empty).await;

    let of_sends =
        || stack.lines().into_iter().filter(|(function, _)| function == "send_message").map(|(_, line)| line);
    eventually("both sends are logged", async || of_sends().count() >= 2).await;
    let sends: Vec<_> = of_sends().collect();
    assert_eq!(sends.len(), 2, "{sends:?}");
    assert_eq!(sends[0]["outcome"], "ok");
    assert_eq!(sends[0]["route"], "send_message");
    assert_eq!(sends[0]["level"], "INFO");
    assert!(sends[0]["request_id"].as_str().unwrap().len() == 36);
    let connection = sends[0]["connection"].as_str().expect("which connection it was about");
    assert_eq!(sends[1]["connection"], connection);
    for function in ["authorize", "connect", "join_conversation"] {
        let lines = stack.lines();
        let of_function = lines.iter().filter(|(of, line)| of == function && line["outcome"].is_string());
        let of_function: Vec<_> = of_function.collect();
        let known = of_function.iter().all(|(_, line)| line["connection"].is_string());
        assert!(!of_function.is_empty() && known, "{function}: {of_function:?}");
    }
    for duration in ["duration_ms", "postgres_ms", "dynamodb_ms", "pushes_ms"] {
        assert!(sends[0][duration].as_f64().unwrap() > 0.0, "{duration}");
    }
    assert_eq!(
        (&sends[0]["postgres_calls"], &sends[0]["dynamodb_calls"], &sends[0]["pushes"]),
        (&json!(1), &json!(1), &json!(1)),
        "one round trip, one read, and a push to the one who joined"
    );
    assert_eq!(sends[1]["outcome"], "invalid_request");
    assert_eq!(sends[1]["postgres_calls"], Value::Null, "nothing was asked of it");

    assert_eq!(sends[1]["_aws"], Value::Null, "nothing was counted");
    let metrics = &sends[0];
    let kept = &metrics["_aws"]["CloudWatchMetrics"][0];
    assert_eq!((&kept["Namespace"], &kept["Dimensions"]), (&json!("Switchboard"), &json!([["Stack"]])));
    assert_eq!(metrics["Stack"], "switchboard", "as the template says");
    let declared = kept["Metrics"].as_array().unwrap();
    let units: BTreeMap<_, _> = declared
        .iter()
        .map(|metric| (metric["Name"].as_str().unwrap(), metric["Unit"].as_str().unwrap()))
        .collect();
    assert_eq!(units["CommitLatency"], "Milliseconds");
    for (name, value) in [
        ("MessagesSent", 1.0),
        ("FanOutWidth", 1.0),
        ("PushesSent", 1.0),
        ("PushesGone", 0.0),
        ("PushesFailed", 0.0),
    ] {
        assert_eq!((units[name], &metrics[name]), ("Count", &json!(value)), "{name}");
    }
    assert!(metrics["CommitLatency"].as_f64().unwrap() > 0.0);
}

/// Time that is neither work nor a wait for another process: a timer, even one of zero, takes a millisecond
/// of it each time. The lowest of several counts, since a busy machine may take a process from its processor.
#[tokio::test]
async fn a_warm_function_waits_for_nothing_else() {
    let (stack, _database) = Stack::own(&["--max-instances", "1"]).await;
    let stack = std::sync::Arc::new(stack);
    let Pair { alice, alice_phone: mut phone, bob, mut bob_phone, conversation } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    let about = |action: &str| json!({ "action": action, "conversationId": conversation });
    for _ in 0..10 {
        phone.joins(&conversation).await;
        phone.asks(json!({ "action": "ping" })).await;
        let sent = phone.says(&conversation, "hi").await;
        phone.edits(&sent, "hi!").await;
        bob_phone.asks(about("mark_read")).await;
        phone.sends(about("typing_start")).await;
        bob_phone.hears(|event| matches!(event, protocol::Event::UserTyping { .. }).then_some(())).await;
        alice.lists_conversations("").await;
        alice.reads(&conversation, "").await;
        alice.asks_for_conversation_with(&bob).await;
        phone.asks(about("leave_conversation")).await;
    }
    let lines = stack.lines();
    for function in [
        "join_conversation",
        "ping",
        "send_message",
        "change_message",
        "mark_read",
        "typing",
        "list_conversations",
        "list_messages",
        "find_or_create_conversation",
        "leave_conversation",
    ] {
        let idle =
            lines.iter().filter(|(of, _)| of == function).filter_map(|(_, line)| line["idle_ms"].as_f64());
        let lowest = idle.fold(f64::INFINITY, f64::min);
        assert!(lowest < 0.5, "{function} idles for {lowest} ms at least");
    }
}

#[tokio::test]
async fn a_refused_token_is_counted_apart_from_one_that_cannot_be_verified() {
    let key = Key::es256("only");
    let provider = Provider::start(&[&key]).await;
    let (stack, _database) = Stack::own_with(&[("JWT_JWKS_URL", &provider.url)]).await;
    let counted = |metric: &str| {
        let lines = stack.lines().into_iter().filter(|(function, _)| function == "authorize");
        lines.filter_map(|(_, line)| line[metric].as_f64()).sum::<f64>()
    };
    provider.answers(Answers::WithAnError);
    let token = key.signs(&User::of(&stack, "Alice").claims());
    assert_eq!(Client::connect(&stack, &token).await.unwrap_err(), 500);
    eventually("it is counted", async || counted("TokensUnverified") == 1.0).await;
    assert_eq!(counted("TokensRefused"), 0.0);
    provider.answers(Answers::AtOnce);
    assert_eq!(Client::connect(&stack, "nonsense").await.unwrap_err(), 401);
    assert_eq!(Client::open(format!("ws://127.0.0.1:{}/v1", stack.port)).await.unwrap_err(), 401);
    eventually("both are counted", async || counted("TokensRefused") == 2.0).await;
    Client::connect(&stack, &token).await.expect("it is good");
    assert_eq!((counted("TokensUnverified"), counted("TokensRefused")), (1.0, 2.0));
}

#[tokio::test]
async fn tokens_and_what_people_say_are_in_no_line() {
    let (stack, _database) = Stack::own(&[]).await;
    let stack = std::sync::Arc::new(stack);
    let Pair { alice, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    let token = alice.token();
    let mut phone = Client::connect(&stack, &token).await.unwrap();
    let (secret, own_name) = ("a-word-nobody-else-says", "a-name-nobody-else-gives");
    let message = json!({
        "conversationId": conversation,
        "content": secret,
        "clientMessageId": own_name,
        "metadata": { secret: secret },
    });
    phone.sends_message(message.clone()).await;
    let sent = phone.sends_message(message).await;
    phone.edits(&sent, &format!("{secret}!")).await;
    phone.reacts(&sent, secret).await;
    phone.deletes(&sent).await;
    alice.reads(&conversation, "").await;
    // A refusal repeats what the client sent, to the client only.
    for frame in [
        json!({ "action": secret }),
        json!({ "action": "send_message", "conversationId": secret, "content": secret }),
        json!({ "action": "send_message", "conversationId": conversation, "content": { "text": secret } }),
        json!({ "action": "mark_read", "conversationId": conversation, "upToSeq": secret }),
        json!({ "action": "edit_message", "messageId": sent.id, "content": secret }),
        json!({ "action": "edit_message", "messageId": sent.id, "content": secret, "metadata": secret }),
        json!({ "action": "add_reaction", "messageId": sent.id, "reaction": secret.repeat(2) }),
    ] {
        phone.is_refused(frame).await;
    }
    phone.sends_text(secret).await;
    phone.receives().await;
    let mut claims = alice.claims();
    claims["exp"] = harness::seconds_from_now(-100).into();
    let expired = alice.token_with(&claims);
    Client::connect(&stack, &expired).await.expect_err("it has expired");
    let answer = reqwest::Client::new()
        .get(stack.http("/api/conversations"))
        .bearer_auth(&expired)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);

    let logged = |function: &str| {
        stack.lines().iter().any(|(of, line)| of == function && line["outcome"] == "unauthenticated")
    };
    eventually("the last refusals are logged", async || logged("authorize") && logged("list_conversations"))
        .await;
    let log = stack.log();
    let part = |token: &str, at| token.split('.').nth(at).unwrap().to_owned();
    for private in [secret, own_name, &stack.secret, &part(&expired, 2), &part(&token, 1), &part(&token, 2)] {
        assert!(!log.contains(private), "{private} is logged:\n{log}");
    }
}
