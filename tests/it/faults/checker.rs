//! Compares what the clients saw with the database, and both with what was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use harness::{children, connect, eventually, sockets_of, sockets_to};
use protocol::webhook::{AboutMessage, EventData, EventType};
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use super::device::{Counts, Device, Seen, content, place};
use super::guests::UNDER_WAY;
use super::world::{LEASE, SECOND_DEVICE, World};

/// The time limit for presence to be right: the last lease has to end first.
const PRESENCE_PATIENCE: Duration = Duration::from_secs(4 * LEASE.as_secs());

/// A process may hold two connections, of which one replaces the other.
const CONNECTIONS_PER_PROCESS: usize = 2;

/// How long it takes at most until all events are sent: a claim of somebody who was killed lasts half a
/// minute.
const EVENTS_PATIENCE: Duration = Duration::from_secs(60);

/// Checks that the backend was told of every message and of the last change of each, in order within a
/// conversation, and of nothing that was not committed. Prints the counts, and returns what is wrong.
pub(super) async fn events(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let postgres = connect(&world.database.url).await;
    let began = Instant::now();
    loop {
        // What has failed waits for a while, and more and more.
        let due = "update events set due_at = clock_timestamp() where due_at is not null and claim is null";
        postgres.execute(due, &[]).await.unwrap();
        let _ = world.stack().tries_to_invoke("deliver_events").await;
        let left: i64 = postgres.query_one("select count(*) from events", &[]).await.unwrap().get(0);
        if left == 0 {
            break;
        }
        if began.elapsed() > EVENTS_PATIENCE {
            return vec![format!("{left} events are not sent")];
        }
        sleep(Duration::from_millis(500)).await;
    }
    let taken = world.receiver.taken();
    let (mut created, mut changed) = (BTreeMap::new(), BTreeMap::new());
    let mut heads = BTreeMap::new();
    let mut kinds: BTreeMap<String, BTreeMap<EventType, usize>> = BTreeMap::new();
    let ended: BTreeSet<_> = taken
        .iter()
        .filter(|event| event.kind == EventType::ConversationEnded)
        .map(|event| event.subject.clone())
        .collect();
    let mut distinct = BTreeSet::new();
    for event in &taken {
        let is_first = distinct.insert(event.id.clone());
        // Those of a conversation are written one after the other; what is unread is noted apart from that.
        if is_first && event.kind != EventType::MessageUnread {
            let before = heads.insert(event.subject.clone(), event.time.0);
            if before.is_some_and(|before| before > event.time.0) {
                wrong.push(format!("{}: told of {:?} after {before:?}", event.subject, event.time));
            }
            let told: &mut BTreeMap<EventType, usize> = kinds.entry(event.subject.clone()).or_default();
            *told.entry(event.kind).or_default() += 1;
        }
        let EventData::Message(AboutMessage { message }) = &event.data else { continue };
        let Some(message) = message else {
            if !ended.contains(&event.subject) {
                wrong.push(format!("{}: told of a message that is not stored", event.subject));
            }
            continue;
        };
        let id = message.id.to_string();
        match event.kind {
            EventType::MessageCreated if is_first => {
                created.insert(id, event.subject.clone());
            }
            EventType::MessageChanged => {
                let latest = changed.entry(id).or_insert(None);
                *latest = (*latest).max(message.change.map(|change| change.0));
            }
            _ => {}
        }
    }
    let stored = postgres.query("select id::text, change from messages", &[]).await.unwrap();
    for row in &stored {
        let (id, change): (String, Option<i64>) = (row.get(0), row.get(1));
        if created.remove(&id).is_none() {
            wrong.push(format!("the backend was not told of {id}"));
        }
        if change.is_some() && changed.get(&id).copied().flatten() != change {
            wrong.push(format!("the backend was not told of change {change:?} of {id}"));
        }
    }
    let created = created.into_iter().filter(|(_, conversation)| !ended.contains(conversation));
    wrong.extend(created.map(|(id, _)| format!("the backend was told of {id}, which is not stored")));
    // Each number of a change was taken by something of which the backend was told.
    let conversations = "select id::text, last_change from conversations";
    for row in postgres.query(conversations, &[]).await.unwrap() {
        let (id, last_change): (String, i64) = (row.get(0), row.get(1));
        let told = kinds.remove(&id).unwrap_or_default();
        let count = |kind| told.get(&kind).copied().unwrap_or(0);
        let changes = count(EventType::MessageChanged)
            + count(EventType::ParticipantsChanged)
            + count(EventType::ConversationChanged);
        if place(last_change) != changes || count(EventType::ConversationCreated) != 1 {
            wrong.push(format!("{id} has {last_change} changes, and the backend was told {told:?}"));
        }
    }
    println!(
        "  the backend took {} events, {} of them again, of {} messages",
        taken.len(),
        taken.len() - distinct.len(),
        stored.len()
    );
    wrong
}

/// Checks that every acknowledged message is stored exactly once, that `seq` has no gaps, that every device
/// has every message in order and as it is now, and that nothing deleted can be read anywhere. Prints the
/// counts, and returns what is wrong.
pub(super) async fn messages(world: &World, devices: &[Device]) -> Vec<String> {
    let mut wrong = Vec::new();
    let postgres = connect(&world.database.url).await;

    let mut stored: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    let mut places: BTreeMap<String, Vec<(String, usize, Seen)>> = BTreeMap::new();
    let mut is_deleted = BTreeSet::new();
    let rows = "select id::text, conversation_id::text, seq, sender_id, content, client_message_id, \
        coalesce(change, 0), deleted_at is not null from messages order by conversation_id, seq";
    let reactions = reactions(&postgres).await;
    for row in postgres.query(rows, &[]).await.unwrap() {
        let (conversation, seq): (String, _) = (row.get(1), place(row.get(2)));
        let id: String = row.get(0);
        let message = Seen {
            sender: row.get(3),
            content: row.get(4),
            reactions: reactions.get(&id).cloned().unwrap_or_default(),
            change: row.get(6),
            id,
        };
        if row.get(7) {
            is_deleted.insert(message.id.clone());
        }
        let messages = stored.entry(conversation.clone()).or_default();
        messages.push(message.clone());
        if seq != messages.len() {
            wrong.push(format!("{conversation}: the database has {seq} at place {}", messages.len()));
        }
        // What guests send has none.
        if let Some(client_message_id) = row.get::<_, Option<String>>(5) {
            places.entry(client_message_id).or_default().push((conversation, seq, message));
        }
    }

    for (device, (client_message_id, told)) in
        devices.iter().flat_map(|device| device.acknowledged.iter().map(move |told| (device, told)))
    {
        let is_told = |(conversation, seq, message): &(String, usize, Seen)| {
            (conversation, *seq, &message.id) == (&told.0, told.1, &told.2)
        };
        if places.get(client_message_id).is_none_or(|stored| stored.len() != 1 || !stored.iter().all(is_told))
        {
            let stored = places.get(client_message_id);
            wrong.push(format!(
                "user {}: {client_message_id} was told {told:?}, stored is {stored:?}",
                device.user
            ));
        }
    }
    let mut sent = BTreeMap::new();
    for device in devices {
        let sender = world.user(device.user).id;
        for (client_message_id, conversation) in &device.tried {
            sent.insert(client_message_id.clone(), (sender.clone(), conversation.clone()));
        }
    }
    for (client_message_id, stored) in &places {
        let is_as_sent = |(conversation, _, message): &(String, usize, Seen)| {
            let by_whom_and_where = (message.sender.clone(), conversation.clone());
            sent.get(client_message_id) == Some(&by_whom_and_where)
                && match is_deleted.contains(&message.id) {
                    true => message.content.is_empty(),
                    // An edit adds to it.
                    false => message.content.starts_with(&content(client_message_id)),
                }
        };
        if stored.len() != 1 || !stored.iter().all(is_as_sent) {
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
    wrong.extend(deleted(world, &postgres, devices, &is_deleted, &places).await);
    // What else is counted.
    let miscounted = "select c.id::text from conversations c
         where c.last_seq <> (select count(*) from messages m where m.conversation_id = c.id)
            or exists (select from participants p where p.conversation_id = c.id and
                       c.last_seq - p.read_up_to - (p.sent - p.sent_read) <>
                       (select count(*) from messages m where m.conversation_id = c.id and m.sender_id <>
                         p.user_id and m.seq > p.read_up_to))";
    for row in postgres.query(miscounted, &[]).await.unwrap() {
        wrong.push(format!(
            "{}: last_seq or what is unread is not what counting gives",
            row.get::<_, String>(0)
        ));
    }

    let counts =
        |count: fn(&Counts) -> usize| devices.iter().map(|device| count(&device.counts)).sum::<usize>();
    println!(
        "  clients: {} messages to send, {} acknowledged, {} sent again, {} sent twice at once, {} frames \
            refused for now, \
         {} gateway errors, {} sockets cut, {} connects, {} gaps seen, {} messages fetched, {} told again, \
         {} times kept out of \
         others' conversations",
        sent.len(),
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
        counts(|of| of.kept_out),
    );
    println!(
        "  changes: {} asked for, {} answered, {} changed messages fetched, {} messages deleted",
        counts(|of| of.changes),
        counts(|of| of.changed),
        counts(|of| of.changes_fetched),
        is_deleted.len(),
    );
    if counts(|of| of.changed) == 0 || is_deleted.is_empty() {
        wrong.push("no message was changed and deleted".to_owned());
    }
    if counts(|of| of.kept_out) == 0 {
        wrong.push("nobody was kept out of others' conversations".to_owned());
    }
    println!(
        "  stored: {} messages in {} conversations; {} copies of conversations on devices hold {} messages",
        places.len(),
        stored.len(),
        devices.iter().map(|device| device.has.len()).sum::<usize>(),
        devices.iter().flat_map(|device| device.has.values()).map(Vec::len).sum::<usize>(),
    );
    wrong
}

/// The users of each reaction of each message, from the rows that say who has reacted.
async fn reactions(postgres: &Client) -> BTreeMap<String, Vec<(String, Vec<String>)>> {
    let rows = "select message_id::text, reaction, array_agg(user_id order by change) from reactions
        group by message_id, reaction order by message_id, min(since)";
    let mut reactions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in postgres.query(rows, &[]).await.unwrap() {
        let users: Vec<String> = row.get(2);
        let first_ten = users.into_iter().take(10).collect();
        reactions.entry(row.get(0)).or_default().push((row.get(1), first_ten));
    }
    reactions
}

/// Checks that what deleted messages said is in no table and no log, and has reached no device later than
/// what was under way.
async fn deleted(
    world: &World,
    postgres: &Client,
    devices: &[Device],
    is_deleted: &BTreeSet<String>,
    places: &BTreeMap<String, Vec<(String, usize, Seen)>>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let dumped = "select string_agg(row::text, ' ') from (
        select messages::text as row from messages union all select reactions::text from reactions
        union all select conversations::text from conversations
    ) as rows";
    let tables: String = postgres.query_one(dumped, &[]).await.unwrap().get(0);
    let log = world.log();
    for (client_message_id, stored) in places {
        let text = content(client_message_id);
        for (_, _, message) in stored.iter().filter(|(_, _, message)| is_deleted.contains(&message.id)) {
            // "message 1 of" is not in "message 11 of".
            if tables.contains(&text) || log.contains(&text) {
                wrong.push(format!("{} is deleted, and {text} is in a table or in the log", message.id));
            }
        }
    }
    for (id, at) in devices.iter().flat_map(|device| &device.deleted) {
        let late = |device: &&Device| device.read.get(id).is_some_and(|read| *read > *at + UNDER_WAY);
        for device in devices.iter().filter(late) {
            wrong.push(format!("user {} got the content of {id} after its deletion", device.user));
        }
    }
    wrong
}

/// Whether a user leaves with all devices.
fn user_leaves(user: usize) -> bool {
    user % 4 == 1
}

/// Whether a device leaves: those of users who leave, and some phones whose users stay with their laptops.
fn leaves(device: &Device) -> bool {
    user_leaves(device.user) || device.user.is_multiple_of(2 * SECOND_DEVICE) && device.name == "phone"
}

/// All devices learn who is online. Then some leave, of them some without a `$disconnect`, and come back. The
/// others have to be told so, and the lists have to agree.
pub(super) async fn presence(world: &World, devices: &mut [Device]) -> Vec<String> {
    // A device that has lost its connection meanwhile could not close it.
    join_all(devices.iter_mut().map(Device::catches_up)).await;
    let told_otherwise = match all_are_there(world, devices).await {
        Ok(told_otherwise) => told_otherwise,
        Err(wrong) => return wrong,
    };

    let leaving = devices.iter_mut().filter(|device| leaves(device));
    // The `$disconnect` of every second device that leaves is lost.
    let (mut lost, mut heard): (Vec<_>, Vec<_>) = leaving.partition(|device| device.user % 8 < 2);
    let lost_before = lost_disconnects(world);
    world.dynamodb.refuses(Some("disconnect"));
    join_all(lost.iter_mut().map(|device| device.leaves())).await;
    eventually("their $disconnect is lost", async || lost_disconnects(world) >= lost_before + lost.len())
        .await;
    world.dynamodb.refuses(None);
    join_all(heard.iter_mut().map(|device| device.leaves())).await;

    let (left, unheard) = (lost.len() + heard.len(), lost.len());
    let mut wrong = converges(world, devices, |device| !leaves(device), user_leaves).await;
    if wrong.is_empty() {
        // They knew of everybody from lists before. That a user comes back is only announced.
        wrong = converges(world, devices, |_| true, |_| false).await;
    }
    if wrong.is_empty() {
        let staying = devices.iter().filter(|device| !leaves(device));
        println!(
            "  presence: {told_otherwise} contacts were not as announced before; {left} devices left, \
                {unheard} of them unheard, \
             and came back; {} saw {} contacts go and come as they did, \
             and so did the service; {} times a lease had ended before it \
             was renewed",
            staying.clone().count(),
            staying.clone().map(|device| device.conversations.len()).sum::<usize>(),
            staying.map(|device| device.counts.unleased).sum::<usize>(),
        );
    }
    wrong
}

/// Keeps devices connected until those that stayed were told who is online, and the lists agree.
async fn converges(
    world: &World,
    devices: &mut [Device],
    is_there: impl Fn(&Device) -> bool,
    has_left: impl Fn(usize) -> bool,
) -> Vec<String> {
    let until = Instant::now() + PRESENCE_PATIENCE;
    loop {
        let there = devices.iter_mut().filter(|device| is_there(device));
        join_all(there.map(|device| device.stays(Duration::from_millis(500)))).await;
        let mut wrong: Vec<_> = sweeps(world).await.err().into_iter().collect();
        for device in devices.iter().filter(|device| !leaves(device)) {
            wrong.extend(misread(world, device, &has_left).await);
            wrong.extend(was_told_wrong(world, device, &has_left));
        }
        if wrong.is_empty() || Instant::now() > until {
            return wrong;
        }
    }
}

/// Waits until all users are online, as the lists say. Returns the number of contacts of whom something else
/// was announced: an announcement may be lost in the trouble.
async fn all_are_there(world: &World, devices: &mut [Device]) -> Result<usize, Vec<String>> {
    let until = Instant::now() + PRESENCE_PATIENCE;
    let mut told_otherwise = 0;
    loop {
        join_all(devices.iter_mut().map(|device| device.stays(Duration::from_millis(500)))).await;
        let mut wrong: Vec<_> = sweeps(world).await.err().into_iter().collect();
        for device in &mut *devices {
            match device.asks_who_is_there().await {
                Ok(of_so_many) => told_otherwise += of_so_many,
                Err(error) => wrong.push(error),
            }
            wrong.extend(misread(world, device, |_| false).await);
        }
        if wrong.is_empty() {
            return Ok(told_otherwise);
        }
        if Instant::now() > until {
            return Err(wrong);
        }
    }
}

/// A failed sweep is followed by another one, as by the schedule.
async fn sweeps(world: &World) -> Result<(), String> {
    world.stack().tries_to_invoke("sweep_connections").await.map(drop)
}

/// The contacts of a device whose presence is wrong in its lists.
async fn misread(world: &World, device: &Device, has_left: impl Fn(usize) -> bool) -> Vec<String> {
    let listed = match device.reads_who_is_there().await {
        Ok(listed) => listed,
        Err(error) => return vec![error],
    };
    let others = device.conversations.values();
    let is_wrong = |other: &&usize| listed.get(&world.user(**other).id) != Some(&!has_left(**other));
    others.filter(is_wrong).map(|other| format!("user {} misreads user {other}", device.user)).collect()
}

/// The contacts of a device whose presence was announced wrongly.
fn was_told_wrong(world: &World, device: &Device, has_left: impl Fn(usize) -> bool) -> Vec<String> {
    let others = device.conversations.values();
    let told = |other: usize| device.online.get(&world.user(other).id).map(|(_, is_online)| *is_online);
    let is_wrong = |other: &&usize| told(**other) != Some(!has_left(**other));
    others.filter(is_wrong).map(|other| format!("user {} was told wrong of {other}", device.user)).collect()
}

/// How many `$disconnect` events failed.
fn lost_disconnects(world: &World) -> usize {
    let lines = world.stack().lines();
    lines.iter().filter(|(name, line)| name == "disconnect" && line["outcome"] == "unavailable").count()
}

/// Watches during the trouble that no process holds too many connections to Postgres.
pub(super) async fn connections_while_troubled(world: &World) -> Vec<String> {
    let (mut wrong, mut most, mut looked) = (Vec::new(), 0, 0);
    while world.is_troubled() {
        sleep(Duration::from_millis(500)).await;
        // A connection that is being closed does not count, so it has to be seen twice.
        let first = connections(world);
        sleep(Duration::from_millis(50)).await;
        for (process, count) in connections(world) {
            let held = count.min(first.get(&process).copied().unwrap_or(0));
            most = most.max(held);
            if held > CONNECTIONS_PER_PROCESS {
                let (pid, function) = process;
                wrong.push(format!("{function} ({pid}) held {held} connections to Postgres"));
            }
        }
        looked += 1;
    }
    if cfg!(target_os = "linux") && most == 0 {
        wrong.push("no process was seen to hold a connection to Postgres".to_owned());
    }
    println!("  Postgres: no process held more than {most} connections, {looked} times looked at");
    wrong
}

/// The same at the end. Also checks that no connection is left when the processes have ended.
pub(super) async fn connections_at_the_end(world: &World) -> Vec<String> {
    let held = connections(world);
    let too_many = held.iter().filter(|(_, count)| **count > CONNECTIONS_PER_PROCESS);
    let wrong =
        too_many.map(|((pid, function), count)| format!("{function} ({pid}) holds {count} connections"));
    let wrong = wrong.collect();
    let observer = connect(&world.database.url).await;
    let open = async || {
        let count = "select count(*) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()
               and backend_type = 'client backend'";
        place(observer.query_one(count, &[]).await.unwrap().get(0))
    };
    let open_before = open().await;
    world.stack().signal(nix::sys::signal::Signal::SIGTERM);
    eventually("the connections of the ended processes are gone", async || open().await == 0).await;
    println!(
        "  Postgres: {open_before} connections of {} processes, and none when they had ended",
        held.len()
    );
    wrong
}

/// The number of connections to Postgres of each function's process.
fn connections(world: &World) -> BTreeMap<(u32, String), usize> {
    let (_, port) = world.database.url.rsplit_once(':').expect("it names a port");
    let port = port.split('/').next().and_then(|port| port.parse().ok()).expect("it is a number");
    let sockets = sockets_to(port);
    let functions = children(world.stack().pid).into_iter().filter(|(_, name)| name != "local");
    functions.map(|(pid, name)| ((pid, name), sockets_of(pid).intersection(&sockets).count())).collect()
}
