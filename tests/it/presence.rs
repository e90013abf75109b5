//! Presence: which users are online, and who is told.

use std::collections::BTreeSet;
use std::time::Duration;

use harness::{Stack, children, connect, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::Event;
use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::people::{Client, Pair, User, pair};
use crate::stand_ins::callbacks::{Callbacks, Fate};
use crate::stand_ins::dynamodb::DynamoDb;

/// `true` for online, and the version.
fn transition(user: &str) -> impl Fn(&Event) -> Option<(bool, u64)> {
    move |event| match event {
        Event::UserOnline { user_id, version } if user_id.as_str() == user => Some((true, *version)),
        Event::UserOffline { user_id, version, .. } if user_id.as_str() == user => Some((false, *version)),
        _ => None,
    }
}

#[tokio::test]
async fn contacts_are_told_once_of_each_transition() {
    let (stack, _database) = Stack::own_with(&[]).await;
    let Pair { alice, alice_phone, bob, mut bob_phone, .. } = pair(&stack).await;
    let mut stranger = User::of(&stack, "Stranger").connects().await;
    let mut bob_laptop = bob.connects().await;
    let alices = transition(&alice.id);

    let alice_laptop = alice.connects().await;
    alice_phone.closes().await;
    let disconnected = || stack.log().lines().any(|line| line.contains("disconnect: ok"));
    eventually("her phone is disconnected", async || disconnected()).await;
    let heard = bob_phone.has_heard().await;
    assert!(heard.iter().all(|event| alices(event).is_none()), "one device remains: {heard:?}");

    alice_laptop.closes().await;
    let (online, went) = bob_phone.hears(&alices).await;
    assert!(!online);
    assert_eq!(bob_laptop.hears(&alices).await, (false, went), "on each of his devices");
    let mut alice_phone = alice.connects().await;
    let (online, came) = bob_phone.hears(&alices).await;
    assert!(online && came > went, "{came} is newer than {went}");

    assert!(alice_phone.has_heard().await.iter().all(|event| alices(event).is_none()), "she knows");
    assert!(
        stranger.has_heard().await.iter().all(|event| alices(event).is_none()),
        "they share no conversation"
    );
    assert!(bob_phone.has_heard().await.iter().all(|event| alices(event).is_none()), "once is enough");
}

#[tokio::test]
async fn everyone_is_told_where_everyone_is_the_audience() {
    let (stack, _database) = Stack::own_with(&[("PRESENCE_AUDIENCE", "everyone")]).await;
    let (alice, stranger) = (User::of(&stack, "Alice"), User::of(&stack, "Stranger"));
    let mut stranger_phone = stranger.connects().await;
    let alices = transition(&alice.id);
    let alice_phone = alice.connects().await;
    assert!(stranger_phone.hears(&alices).await.0);
    alice_phone.closes().await;
    assert!(!stranger_phone.hears(&alices).await.0);
    assert!(stranger_phone.has_heard().await.iter().all(|event| transition(&stranger.id)(event).is_none()));
}

#[tokio::test]
async fn as_many_go_online_as_offline_whatever_happens_at_once() {
    let stack = Stack::shared();
    let Pair { alice, alice_phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    let alices = transition(&alice.id);
    alice_phone.closes().await;
    assert!(!bob_phone.hears(&alices).await.0);

    let comings_and_goings = (0..15).map(|_| async { alice.connects().await.closes().await });
    futures_util::future::join_all(comings_and_goings).await;
    let bob = tokio::sync::Mutex::new((bob_phone, Vec::new()));
    // On a busy machine a push may time out, and the log says so.
    let all_arrived =
        || stack.lines().iter().all(|(_, line)| line["PushesFailed"].as_f64().unwrap_or(0.0) == 0.0);
    eventually("everything is told and Alice is offline", async || {
        let (bob_phone, told) = &mut *bob.lock().await;
        told.extend(bob_phone.has_heard().await.iter().filter_map(&alices));
        let online_user_ids = bob_phone.joins(&conversation).await.online_user_ids;
        let offline = online_user_ids.iter().all(|user| *user != alice.id);
        let told_of = |online| told.iter().filter(|(was, _)| *was == online).count();
        offline && told_of(true) > 0 && (told_of(true) == told_of(false) || !all_arrived())
    })
    .await;
    let (mut bob_phone, told) = bob.into_inner();
    let versions: BTreeSet<_> = told.iter().map(|(_, version)| version).collect();
    assert_eq!(versions.len(), told.len(), "each has a version of its own");
    let mut in_order = told.clone();
    in_order.sort_by_key(|(_, version)| *version);
    let alternate = in_order.iter().enumerate().all(|(at, (online, _))| *online == (at % 2 == 0));
    assert!(alternate || !all_arrived(), "they alternate: {in_order:?}");

    let mut alice_phone = alice.connects().await;
    assert!(bob_phone.hears(&alices).await.0);
    alice_phone.asks(json!({ "action": "ping" })).await;
}

/// Pings until `done`, so that this client's lease stays valid.
async fn pings_until<T>(client: &mut Client, done: impl Future<Output = T>) -> T {
    tokio::pin!(done);
    loop {
        tokio::select! {
            result = &mut done => return result,
            () = tokio::time::sleep(Duration::from_millis(300)) => {}
        }
        client.asks(json!({ "action": "ping" })).await;
    }
}

#[tokio::test]
async fn who_stops_pinging_goes_offline_once_and_is_closed() {
    let (stack, _database) = Stack::own_with(&[("LEASE_SECONDS", "3")]).await;
    let Pair { alice, mut alice_phone, bob, mut bob_phone, conversation } = pair(&stack).await;
    let alices = transition(&alice.id);
    alice_phone.joins(&conversation).await;

    pings_until(&mut bob_phone, tokio::time::sleep(Duration::from_secs(4))).await;
    let online_user_ids = bob_phone.joins(&conversation).await.online_user_ids;
    assert_eq!(online_user_ids.len(), 1, "an expired lease is ignored before anything is swept");
    let (one, other) = tokio::join!(stack.invokes("sweep_connections"), stack.invokes("sweep_connections"));
    assert_eq!(one["swept"].as_u64().unwrap() + other["swept"].as_u64().unwrap(), 1, "one of them decides");
    let left = |event: &Event| match event {
        Event::UserOffline { user_id, last_seen_at, .. } if user_id.as_str() == alice.id => {
            Some(*last_seen_at)
        }
        _ => None,
    };
    let last_seen_at = bob_phone.hears(left).await;
    let alice_in_the_list = bob.lists_conversations("").await.conversations.remove(0).other_user.unwrap();
    assert_eq!((alice_in_the_list.online, alice_in_the_list.last_seen_at), (false, Some(last_seen_at)));
    assert_eq!(alice_phone.is_closed().await, CloseCode::Normal);
    pings_until(&mut bob_phone, tokio::time::sleep(Duration::from_secs(1))).await;
    assert!(
        bob_phone.has_heard().await.iter().all(|event| alices(event).is_none()),
        "her $disconnect tells nothing new"
    );

    let _alice_phone = alice.connects().await;
    assert!(bob_phone.hears(&alices).await.0, "and she is back");
}

#[tokio::test]
async fn a_lost_disconnect_is_made_up_for_by_the_sweep() {
    let (stack, database) = Stack::own_with(&[("LEASE_SECONDS", "3")]).await;
    let Pair { alice, alice_phone, mut bob_phone, .. } = pair(&stack).await;
    let alices = transition(&alice.id);
    // A process that is killed during its start is started again for its event.
    User::of(&stack, "Visitor").connects().await.closes().await;
    let has_worked =
        async || stack.lines().iter().any(|(of, line)| of == "disconnect" && line.get("outcome").is_some());
    eventually("a process of the function is warm", has_worked).await;

    // The function waits in Postgres, and is killed there.
    let mut holder = connect(&database.url).await;
    let lock = holder.transaction().await.unwrap();
    lock.execute("lock table conversations in access exclusive mode", &[]).await.unwrap();
    alice_phone.closes().await;
    let disconnecting = async || children(stack.pid).into_iter().find(|(_, name)| name == "disconnect");
    let observer = connect(&database.url).await;
    eventually("the disconnect waits for the lock", async || {
        let waiting =
            "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        !observer.query(waiting, &[]).await.unwrap().is_empty()
    })
    .await;
    let (pid, _) = disconnecting().await.expect("it is running");
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
    lock.rollback().await.unwrap();

    pings_until(&mut bob_phone, tokio::time::sleep(Duration::from_secs(4))).await;
    assert!(
        bob_phone.has_heard().await.iter().all(|event| alices(event).is_none()),
        "the disconnect was lost"
    );
    stack.invokes("sweep_connections").await;
    assert!(!bob_phone.hears(&alices).await.0);
}

#[tokio::test]
async fn a_ping_keeps_a_connection_alive() {
    let (stack, _database) = Stack::own_with(&[("LEASE_SECONDS", "2")]).await;
    let mut phone = User::of(&stack, "Alice").connects().await;
    pings_until(&mut phone, tokio::time::sleep(Duration::from_secs(3))).await;
    assert_eq!(stack.invokes("sweep_connections").await["swept"], 0);
}

#[tokio::test]
async fn a_device_that_missed_its_time_does_not_come_back_behind_everybodys_back() {
    let (stack, _database) = Stack::own_with(&[("LEASE_SECONDS", "3")]).await;
    let Pair { alice, alice_phone: mut silent, mut bob_phone, conversation, .. } = pair(&stack).await;
    let alices = transition(&alice.id);
    let living = alice.connects().await;
    let living = tokio::sync::Mutex::new(living);
    pings_until(&mut bob_phone, async {
        let mut living = living.lock().await;
        pings_until(&mut living, tokio::time::sleep(Duration::from_secs(4))).await;
    })
    .await;
    // The lease of the silent connection has expired. The disconnect of the other one takes her offline, and
    // removes the silent one.
    living.into_inner().closes().await;
    assert!(!bob_phone.hears(&alices).await.0);
    silent.is_closed().await;
    let online_user_ids = bob_phone.joins(&conversation).await.online_user_ids;
    assert!(online_user_ids.iter().all(|user| *user != alice.id));
}

#[tokio::test]
async fn a_transition_whose_answer_was_lost_is_told_once_all_the_same() {
    let dynamodb = DynamoDb::start().await;
    let env = [("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url.as_str()), ("LEASE_SECONDS", "3")];
    let (stack, _database) = Stack::own_with(&env).await;
    dynamodb.pass_on_to(&stack.dynamodb_url);
    let Pair { alice, alice_phone, mut bob_phone, .. } = pair(&stack).await;
    let alices = transition(&alice.id);

    dynamodb.loses_the_next_answer_to(&alice.id);
    alice_phone.closes().await;
    let (online, went) = bob_phone.hears(&alices).await;
    assert!(!online, "by the disconnect");

    dynamodb.loses_the_next_answer_to(&alice.id);
    let mut alice_phone = alice.connects().await;
    let (online, came) = bob_phone.hears(&alices).await;
    assert!(online && came > went, "by the connect");

    pings_until(&mut bob_phone, tokio::time::sleep(Duration::from_secs(4))).await;
    dynamodb.loses_the_next_answer_to(&alice.id);
    stack.invokes("sweep_connections").await;
    let (online, swept) = bob_phone.hears(&alices).await;
    assert!(!online && swept > came, "by the sweep");
    alice_phone.is_closed().await;
    assert_eq!(dynamodb.has_lost(), 3);
    assert!(bob_phone.has_heard().await.iter().all(|event| alices(event).is_none()), "and never twice");
}

/// A disconnect that read her item before she opened another device, and writes it after that.
#[tokio::test]
async fn a_disconnect_that_is_overtaken_by_a_connect_announces_nothing() {
    let dynamodb = DynamoDb::start().await;
    let (stack, _database) = Stack::own_with(&[("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url.as_str())]).await;
    dynamodb.pass_on_to(&stack.dynamodb_url);
    let Pair { alice, alice_phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    let alices = transition(&alice.id);

    dynamodb.holds_changes_by("disconnect", &alice.id);
    alice_phone.closes().await;
    eventually("the disconnect is about to write", async || dynamodb.is_holding()).await;
    let mut alice_laptop = alice.connects().await;
    dynamodb.lets_go();
    let disconnected = || stack.log().lines().any(|line| line.contains("disconnect: ok"));
    eventually("her phone is disconnected", async || disconnected()).await;
    let heard = bob_phone.has_heard().await;
    assert!(heard.iter().all(|event| alices(event).is_none()), "she is still there: {heard:?}");
    let online_user_ids = alice_laptop.joins(&conversation).await.online_user_ids;
    assert_eq!(online_user_ids.len(), 2);
    alice_laptop.closes().await;
    assert!(!bob_phone.hears(&alices).await.0, "now she is gone");
}

/// Closes a connection whose `$disconnect` makes the transition and is then cut off from DynamoDB.
async fn closes_without_announcing(stack: &Stack, dynamodb: &DynamoDb, user: &User, phone: Client) {
    dynamodb.holds_changes_by("disconnect", &user.id);
    phone.closes().await;
    eventually("the disconnect is about to write", async || dynamodb.is_holding()).await;
    dynamodb.refuses(Some("disconnect"));
    dynamodb.lets_go();
    eventually("it cannot announce", async || dynamodb.has_refused_one() > 0).await;
    let is_done = || stack.log().lines().any(|line| line.contains("disconnect: ok"));
    eventually("it has given up", async || is_done()).await;
    dynamodb.refuses(None);
}

/// An announcement is overdue after half a minute, so this takes as long.
#[tokio::test]
async fn an_announcement_that_was_lost_is_made_by_the_sweep() {
    let dynamodb = DynamoDb::start().await;
    let (stack, _database) = Stack::own_with(&[("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url.as_str())]).await;
    dynamodb.pass_on_to(&stack.dynamodb_url);
    let Pair { alice, alice_phone, mut bob_phone, .. } = pair(&stack).await;
    let alices = transition(&alice.id);

    closes_without_announcing(&stack, &dynamodb, &alice, alice_phone).await;
    assert!(bob_phone.has_heard().await.iter().all(|event| alices(event).is_none()));
    assert_eq!(stack.invokes("sweep_connections").await["swept"], 0, "it may still be at it");

    tokio::time::sleep(Duration::from_secs(31)).await;
    // The schedule's own sweep may be first.
    stack.invokes("sweep_connections").await;
    let (online, went) = bob_phone.hears(&alices).await;
    assert!(!online);
    assert_eq!(stack.invokes("sweep_connections").await["swept"], 0, "once is enough");
    let _alice_phone = alice.connects().await;
    let (online, came) = bob_phone.hears(&alices).await;
    assert!(online && came > went);
}

/// A late announcement is older than what others have read meanwhile.
#[tokio::test]
async fn an_announcement_that_is_late_hides_nothing_newer() {
    let dynamodb = DynamoDb::start().await;
    let callbacks = Callbacks::start().await;
    let (stack, _database) = Stack::own_with(&[
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url.as_str()),
        ("PUSH_ENDPOINT", callbacks.url.as_str()),
    ])
    .await;
    dynamodb.pass_on_to(&stack.dynamodb_url);
    callbacks.pass_on_to(stack.port);
    let Pair { alice, alice_phone, bob, mut bob_phone, .. } = pair(&stack).await;
    let alices = transition(&alice.id);

    closes_without_announcing(&stack, &dynamodb, &alice, alice_phone).await;
    let bobs = stack.connection_of(&bob.id).await;
    callbacks.has(&bobs, Fate::Failed);
    let _alice_phone = alice.connects().await;
    assert_eq!(callbacks.pushes_to(Fate::Failed), 3, "the newer one is lost on its way to his phone");
    callbacks.has(&bobs, Fate::Passed);
    // A connection that opens within 4 s is told: a write may take so long, and clocks may differ.
    tokio::time::sleep(Duration::from_millis(4500)).await;
    let mut bob_laptop = bob.connects().await;
    assert!(bob_phone.has_heard().await.iter().all(|event| alices(event).is_none()));

    // Only time makes an announcement overdue: half a minute, of which some seconds have passed.
    tokio::time::sleep(Duration::from_secs(27)).await;
    stack.invokes("sweep_connections").await;
    let mut heard = [bob_phone.hears(&alices).await, bob_phone.hears(&alices).await];
    heard.sort_by_key(|(_, version)| *version);
    assert!(matches!(heard, [(false, went), (true, came)] if went < came), "{heard:?}");
    let heard = bob_laptop.has_heard().await;
    assert!(heard.iter().all(|event| alices(event).is_none()), "it opened after both: {heard:?}");
}

#[tokio::test]
async fn a_ghost_beside_a_living_device_is_closed_by_the_next_connect() {
    let (stack, _database) = Stack::own_with(&[("LEASE_SECONDS", "2")]).await;
    let alice = User::of(&stack, "Alice");
    let (mut silent, mut living) = (alice.connects().await, alice.connects().await);
    pings_until(&mut living, tokio::time::sleep(Duration::from_secs(3))).await;
    assert_eq!(stack.invokes("sweep_connections").await["swept"], 0, "she is online");
    let _third = alice.connects().await;
    assert_eq!(silent.is_closed().await, CloseCode::Normal);
    living.asks(json!({ "action": "ping" })).await;
}

/// A connection that opens while the write is under way has read what was before it.
#[tokio::test]
async fn a_connection_that_opens_during_a_disconnect_is_told_of_it() {
    let dynamodb = DynamoDb::start().await;
    let (stack, _database) = Stack::own_with(&[("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url.as_str())]).await;
    dynamodb.pass_on_to(&stack.dynamodb_url);
    let Pair { alice, alice_phone, bob, conversation, .. } = pair(&stack).await;
    dynamodb.holds_changes_by("disconnect", &alice.id);
    alice_phone.closes().await;
    eventually("the disconnect is about to write", async || dynamodb.is_holding()).await;
    // The write takes longer than it usually does, and longer than clocks differ.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut bob_laptop = bob.connects().await;
    assert_eq!(bob_laptop.joins(&conversation).await.online_user_ids.len(), 2, "she is online until then");
    dynamodb.lets_go();
    assert!(!bob_laptop.hears(transition(&alice.id)).await.0);
}

/// The real schedule: this takes a minute.
#[tokio::test]
async fn the_sweep_runs_by_itself_every_minute() {
    let (stack, _database) = Stack::own_with(&[("LEASE_SECONDS", "1")]).await;
    let mut phone = User::of(&stack, "Alice").connects().await;
    let closed = tokio::time::timeout(Duration::from_secs(75), phone.is_closed_whenever()).await;
    assert_eq!(closed.expect("the schedule says every minute"), CloseCode::Normal);
}
