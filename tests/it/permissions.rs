//! The roles in the template allow each function what it does, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use harness::{PATIENCE, Stack, eventually, seconds_from_now};
use serde_json::json;
use serde_norway::Value;
use tokio::time::Instant;

use crate::backends::{AUDIENCE, Backend};
use crate::people::{Client, ISSUER, Pair, User, pair};
use crate::stand_ins::callbacks::{Callbacks, Fate};
use crate::stand_ins::dynamodb::DynamoDb;

/// The calls of each function.
type Calls = BTreeSet<(String, String)>;

/// A gone connection is forgotten only if its `$connect` has surely ended, and a lease ends by itself. Both
/// take time.
const UNTIL_OLD: Duration = Duration::from_secs(31);
const LEASE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn every_function_may_do_what_it_does_and_nothing_else() {
    let (dynamodb, callbacks) = (DynamoDb::start().await, Callbacks::start().await);
    let (stack, _database) = Stack::own_with(&[
        ("AWS_ENDPOINT_URL_DYNAMODB", &dynamodb.url),
        ("PUSH_ENDPOINT", &callbacks.url),
        ("PRESENCE_AUDIENCE", "everyone"),
        ("LEASE_SECONDS", &LEASE.as_secs().to_string()),
        ("MAX_CONNECTIONS_PER_USER", "8"),
        ("JWT_ISSUER", ISSUER),
        ("SERVICE_AUDIENCE", AUDIENCE),
    ])
    .await;
    dynamodb.pass_on_to(&stack.dynamodb_url);
    callbacks.pass_on_to(stack.port);

    // Connections that become old, and connections whose leases end.
    let Pair { alice, alice_phone: mut phone, bob, mut bob_phone, conversation } = pair(&stack).await;
    let victims: Vec<_> = (0..8).map(|number| User::of(&stack, &format!("Victim{number}"))).collect();
    let mut old = join_all(victims.iter().map(|victim| victim.connects())).await;
    let (grace, henry, forgetful) =
        (User::of(&stack, "Grace"), User::of(&stack, "Henry"), User::of(&stack, "Forgetful"));
    let _asleep = [grace.connects().await, henry.connects().await, forgetful.connects().await];
    // The function that closes these also removes their items, before their `$disconnect`.
    for sleeper in [&grace, &forgetful] {
        callbacks.has(&stack.connection_of(&sleeper.id).await, Fate::LeftOpen);
    }
    let mut awake = henry.connects().await;
    let opened = Instant::now();

    // An expired token is refused, and the connection is closed.
    let mut claims = alice.claims();
    claims["exp"] = json!(seconds_from_now(2));
    let token = alice.token_with(&claims);
    let actions = [
        "join_conversation",
        "leave_conversation",
        "send_message",
        "edit_message",
        "mark_read",
        "typing_start",
        "ping",
    ];
    let mut clients = join_all(actions.map(|_| Client::connect(&stack, &token))).await;
    // Only time makes a token expire.
    tokio::time::sleep_until(opened + Duration::from_secs(3)).await;
    for (action, client) in actions.iter().zip(&mut clients) {
        let client = client.as_mut().expect("it had not expired yet");
        client.sends(json!({ "action": action, "conversationId": conversation, "content": "late" })).await;
        client.is_closed_whenever().await;
    }
    phone.joins(&conversation).await;
    bob_phone.joins(&conversation).await;
    phone.sends(json!({ "action": "typing_start", "conversationId": conversation })).await;
    // To refuse typing takes a second read.
    phone.asks(json!({ "action": "leave_conversation", "conversationId": conversation })).await;
    phone.is_refused(json!({ "action": "typing_start", "conversationId": conversation })).await;
    alice.lists_conversations("").await;
    // One connection more than a user may have closes the oldest.
    let crowd = User::of(&stack, "Crowd");
    let mut crowded = Vec::new();
    for _ in 0..9 {
        crowded.push(crowd.connects().await);
    }

    // A callback that answers 410 makes the function forget the connection.
    tokio::time::sleep_until(opened + UNTIL_OLD).await;
    for client in old.iter_mut().chain([&mut phone, &mut bob_phone, &mut awake]) {
        client.asks(json!({ "action": "ping" })).await;
    }
    let mut conversations = Vec::new();
    for victim in &victims[..3] {
        conversations.push(alice.asks_for_conversation_with(victim).await.1);
    }
    let goes = async |victim: &User| callbacks.has(&stack.connection_of(&victim.id).await, Fate::Gone);
    old[0].joins(&conversations[0]).await;
    goes(&victims[0]).await;
    // Repeated until it is done: on a busy machine a push may time out.
    let forgets = |function: &str| {
        dynamodb.has_been_asked().contains_key(&(function.to_owned(), "dynamodb:DeleteItem".to_owned()))
    };
    let began = Instant::now();
    while !forgets("send_message") && began.elapsed() < PATIENCE {
        phone.says(&conversations[0], "to whom it may concern").await;
    }
    goes(&victims[1]).await;
    let began = Instant::now();
    while !forgets("mark_read") && began.elapsed() < PATIENCE {
        old[1].says(&conversations[1], "have you read it?").await;
        phone.asks(json!({ "action": "mark_read", "conversationId": conversations[1] })).await;
    }
    goes(&victims[2]).await;
    let began = Instant::now();
    while !forgets("list_messages") && began.elapsed() < PATIENCE {
        old[2].says(&conversations[2], "and this?").await;
        alice.reads(&conversations[2], "").await;
    }
    let (_, conversation) = alice.asks_for_conversation_with(&victims[7]).await;
    let message = phone.says(&conversation, "and what of this?").await;
    goes(&victims[7]).await;
    let began = Instant::now();
    for number in 0.. {
        if forgets("change_message") || began.elapsed() > PATIENCE {
            break;
        }
        phone.edits(&message, &format!("and what of this? ({number})")).await;
    }
    // Who is removed leaves the room.
    let group = victims[3].makes_group(&[&alice, &victims[6]]).await;
    old[6].joins(&group).await;
    victims[6].leaves(&group).await;
    goes(&victims[6]).await;
    let began = Instant::now();
    while !forgets("manage_conversations") && began.elapsed() < PATIENCE {
        victims[3].makes_group(&[&victims[6]]).await;
    }
    // A backend closes the connections of somebody.
    let unwanted = User::of(&stack, "Unwanted");
    let mut unwanted_phone = unwanted.connects().await;
    unwanted_phone.joins(&unwanted.makes_group(&[]).await).await;
    // Before their `$disconnect`, which would take them offline.
    callbacks.has(&stack.connection_of(&unwanted.id).await, Fate::LeftOpen);
    Backend::of(&stack).shuts_out(&unwanted).await;
    goes(&victims[3]).await;
    let visitor = bob.connects().await;
    let guest = User::of(&stack, "Guest").connects().await;
    goes(&victims[4]).await;
    guest.closes().await;
    drop(visitor);

    // The ping of a forgotten connection finds no lease.
    old[0].sends(json!({ "action": "ping" })).await;
    old[0].is_closed_whenever().await;

    // The user's next connect or disconnect, or the sweep, removes expired leases.
    tokio::time::sleep_until(opened + LEASE + Duration::from_secs(1)).await;
    grace.connects().await.closes().await;
    awake.closes().await;
    goes(&victims[5]).await;
    stack.invokes("sweep_connections").await;

    let allowed = allowed();
    let used = || -> Calls {
        dynamodb.has_been_asked().into_keys().chain(callbacks.have_been_called().into_keys()).collect()
    };
    let settled = async || {
        let unused: Vec<_> = allowed.difference(&used()).cloned().collect();
        if !unused.is_empty() {
            println!("not needed until now: {unused:?}");
        }
        unused.is_empty()
    };
    eventually("every function has done all that it may", settled).await;
    let at_starts = &dynamodb.has_been_asked_at_starts() | &callbacks.have_been_called_at_starts();
    assert!(at_starts.len() > 20, "most functions open connections when they start: {at_starts:?}");
    let used = &used() | &at_starts;
    let beyond: Vec<_> = used.difference(&allowed).cloned().collect();
    assert!(beyond.is_empty(), "the template does not allow {beyond:?}");
}

/// The calls that the roles in the template allow, besides logs and secrets.
fn allowed() -> Calls {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/template.yaml")).unwrap();
    let template: Value = serde_norway::from_str(&text).unwrap();
    let resources: BTreeMap<String, Value> = serde_norway::from_value(template["Resources"].clone()).unwrap();
    let mut calls = Calls::new();
    for function in resources.values().filter(|resource| resource["Type"] == "AWS::Serverless::Function") {
        let name = function["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap();
        let role = argument(&function["Properties"]["Role"]).trim_end_matches(".Arn");
        let role = &resources[role]["Properties"];
        let mut allow = |call: &str| calls.insert((name.to_owned(), call.to_owned()));
        for policy in role["ManagedPolicyArns"].as_sequence().unwrap() {
            match argument(policy) {
                "Push" => allow("POST"),
                "Close" => allow("DELETE"),
                _ => false,
            };
        }
        let own = role
            .get("Policies")
            .and_then(|policies| policies[0]["PolicyDocument"]["Statement"].as_sequence());
        for statement in own.into_iter().flatten() {
            let on_an_index = argument(&statement["Resource"]).contains("/index/");
            let actions = &statement["Action"];
            let actions = actions.as_sequence().cloned().unwrap_or_else(|| vec![actions.clone()]);
            for action in
                actions.iter().filter_map(Value::as_str).filter(|action| action.starts_with("dynamodb:"))
            {
                allow(&if on_an_index { format!("{action} on an index") } else { action.to_owned() });
            }
        }
    }
    assert!(calls.len() > 30, "read from the template: {calls:?}");
    calls
}

/// The argument of an intrinsic function in its short form.
fn argument(value: &Value) -> &str {
    match value {
        Value::Tagged(tagged) => tagged.value.as_str().unwrap_or_default(),
        _ => "",
    }
}
