//! Holds what the clients saw, what the database has and what was promised against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use protocol::rest::ConversationPage;
use tokio::time::Instant;

use super::device::{Counts, Device, Seen, content, place};
use super::{LEASE, World};
use crate::harness::database::connect;
use crate::harness::{children, eventually};

/// How long presence may take to be right: until the last lease has ended, and then some.
const PRESENCE_PATIENCE: Duration = Duration::from_secs(4 * LEASE.as_secs());

/// Each process may have two, one of which replaces the other.
const CONNECTIONS_PER_PROCESS: i64 = 2;

/// Every acknowledged message is stored exactly once, `seq` has no gaps, and everybody has everything in order. Prints
/// the counts, and says what is wrong.
pub(super) async fn messages(world: &World, devices: &[Device]) -> Vec<String> {
    let mut wrong: Vec<String> = devices.iter().flat_map(|device| device.wrong.clone()).collect();
    let postgres = connect(&world.database.url).await;

    let mut stored: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    let mut places: BTreeMap<String, Vec<(String, usize, Seen)>> = BTreeMap::new();
    let rows = "select id::text, conversation_id::text, seq, content, client_message_id from messages order by conversation_id, seq";
    for row in postgres.query(rows, &[]).await.unwrap() {
        let (id, conversation, content): (String, String, String) = (row.get(0), row.get(1), row.get(3));
        let (seq, client_message_id) = (place(row.get(2)), row.get::<_, String>(4));
        let messages = stored.entry(conversation.clone()).or_default();
        let message = Seen { id, content };
        messages.push(message.clone());
        if seq != messages.len() {
            wrong.push(format!("{conversation}: the database has {seq} at place {}", messages.len()));
        }
        places.entry(client_message_id).or_default().push((conversation, seq, message));
    }

    for (device, (client_message_id, told)) in
        devices.iter().flat_map(|device| device.acknowledged.iter().map(move |told| (device, told)))
    {
        if places.get(client_message_id).is_none_or(|stored| *stored != [told.clone()]) {
            let stored = places.get(client_message_id);
            wrong.push(format!(
                "user {}: {client_message_id} was told {told:?}, stored is {stored:?}",
                device.user
            ));
        }
    }
    let tried: BTreeSet<&String> = devices.iter().flat_map(|device| &device.tried).collect();
    for (client_message_id, stored) in &places {
        let is_as_sent = stored.iter().all(|(_, _, message)| message.content == content(client_message_id));
        if stored.len() != 1 || !tried.contains(client_message_id) || !is_as_sent {
            wrong.push(format!("{client_message_id} is stored as {stored:?}"));
        }
    }
    for device in devices {
        for (conversation, has) in &device.has {
            let stored = stored.get(conversation).map_or(&[][..], Vec::as_slice);
            if has != stored {
                let (has, stored) = (has.len(), stored.len());
                wrong.push(format!(
                    "user {}: has {has} of the {stored} messages of {conversation}, or others",
                    device.user
                ));
            }
        }
    }
    // What is counted along with the messages.
    let miscounted = "select c.id::text from conversations c
         where c.last_seq <> (select count(*) from messages m where m.conversation_id = c.id)
            or exists (select from participants p where p.conversation_id = c.id and p.unread_count <>
                       (select count(*) from messages m where m.conversation_id = c.id and m.sender_id <> p.user_id and m.read_at is null))";
    for row in postgres.query(miscounted, &[]).await.unwrap() {
        wrong.push(format!(
            "{}: last_seq or unread_count is not what counting gives",
            row.get::<_, String>(0)
        ));
    }

    let counts =
        |count: fn(&Counts) -> usize| devices.iter().map(|device| count(&device.counts)).sum::<usize>();
    println!(
        "  clients: {} messages to send, {} acknowledged, {} sent again, {} sent twice at once, {} frames refused for now, \
         {} gateway errors, {} sockets cut, {} connects, {} gaps seen, {} messages fetched, {} told again",
        tried.len(),
        devices.iter().map(|device| device.acknowledged.len()).sum::<usize>(),
        counts(|of| of.sent_again),
        counts(|of| of.sent_twice),
        counts(|of| of.refused),
        counts(|of| of.gateway_errors),
        counts(|of| of.cut),
        counts(|of| of.connected),
        counts(|of| of.gaps),
        counts(|of| of.fetched),
        counts(|of| of.told_again),
    );
    println!(
        "  stored: {} messages in {} conversations; {} copies of conversations on devices hold {} messages",
        places.len(),
        stored.len(),
        devices.iter().map(|device| device.has.len()).sum::<usize>(),
        devices.iter().flat_map(|device| device.has.values()).map(Vec::len).sum::<usize>(),
    );
    wrong
}

/// A third of the users leave, some of them without a word that anyone hears. Then those who stay learn who is there, and
/// the service says the same.
pub(super) async fn presence(world: &World, devices: &mut [Device]) -> Vec<String> {
    let leaves = |user: usize| user % 3 == 1;
    let (mut leaving, mut staying): (Vec<_>, Vec<_>) =
        devices.iter_mut().partition(|device| leaves(device.user));
    // Who has lost the connection meanwhile would have none to leave.
    join_all(leaving.iter_mut().map(|device| device.catches_up())).await;
    // Of those who leave, every second one's `$disconnect` gets lost.
    let (mut lost, mut heard): (Vec<_>, Vec<_>) = leaving.iter_mut().partition(|device| device.user % 2 == 0);
    let lost_before = lost_disconnects(world);
    world.dynamodb.refuses(Some("disconnect"));
    join_all(lost.iter_mut().map(|device| device.leaves())).await;
    eventually("their $disconnect is lost", async || lost_disconnects(world) >= lost_before + lost.len())
        .await;
    world.dynamodb.refuses(None);
    join_all(heard.iter_mut().map(|device| device.leaves())).await;

    let until = Instant::now() + PRESENCE_PATIENCE;
    loop {
        join_all(staying.iter_mut().map(|device| device.stays(Duration::from_millis(500)))).await;
        // One that fails is followed by another, as the schedule has it.
        let swept = world.stack().tries_to_invoke("sweep_connections").await;
        let mut wrong: Vec<_> = swept.err().into_iter().collect();
        for device in &staying {
            wrong.extend(disagreements(world, device, leaves).await);
        }
        if wrong.is_empty() {
            let seen: usize = staying.iter().map(|device| device.conversations.len()).sum();
            println!(
                "  presence: {} devices see {seen} contacts as they are, and so does the service",
                staying.len()
            );
            return wrong;
        }
        if Instant::now() > until {
            return wrong;
        }
    }
}

/// Where a device, or what the service tells it, is wrong about who is there.
async fn disagreements(world: &World, device: &Device, has_left: impl Fn(usize) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let answer = world.user(device.user).gets("/api/conversations?limit=100").await;
    if answer.status() != 200 {
        return vec![format!("user {} was answered {}", device.user, answer.status())];
    }
    let page: ConversationPage = answer.json().await.expect("it answers as the protocol says");
    for (conversation, other) in &device.conversations {
        let other_user = world.user(*other).id;
        let truth = !has_left(*other);
        let listed = page.conversations.iter().find(|listed| listed.id.to_string() == *conversation);
        if listed.is_none_or(|listed| listed.other_user.online != truth) {
            wrong.push(format!("user {} reads that {other_user} is not online={truth}", device.user));
        }
        if device.online.get(&other_user).is_none_or(|(_, is_online)| *is_online != truth) {
            wrong.push(format!("user {} was told that {other_user} is not online={truth}", device.user));
        }
    }
    wrong
}

/// How often `$disconnect` could not be carried out.
fn lost_disconnects(world: &World) -> usize {
    let lines = world.stack().lines();
    lines.iter().filter(|(name, line)| name == "disconnect" && line["outcome"] == "unavailable").count()
}

/// No process holds more connections to Postgres than it may, and none is left when the processes are gone.
pub(super) async fn postgres_connections(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let observer = connect(&world.database.url).await;
    let count = async || -> i64 {
        let count = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
        observer.query_one(count, &[]).await.unwrap().get(0)
    };
    let processes = children(world.stack().pid).into_iter().filter(|(_, name)| name != "local").count();
    let open = count().await;
    if open > CONNECTIONS_PER_PROCESS * i64::try_from(processes).unwrap() {
        wrong.push(format!("{processes} processes hold {open} connections to Postgres"));
    }
    world.stack().signal(nix::sys::signal::Signal::SIGTERM);
    eventually("the connections of the ended processes are gone", async || count().await == 0).await;
    println!("  Postgres: {open} connections of {processes} processes, and none when they had ended");
    wrong
}
