//! The costs in infra/README.md are computed from what an action uses.

use std::collections::BTreeMap;

use harness::{Stack, eventually};
use protocol::Event;
use serde_json::json;

use crate::people::{Pair, User, pair};
use crate::stand_ins::callbacks::Callbacks;
use crate::stand_ins::dynamodb::DynamoDb;
use crate::stand_ins::receiver::Receiver;

/// The actions in the table, in the order of its columns.
const ACTIONS: [&str; 4] = ["send_message", "change_message", "mark_read", "ping"];

/// What an update of a user's lease is billed: the item, and its place in the index, which moves (Developer
/// Guide, "Provisioned throughput considerations for global secondary indexes": deleted and put again).
const UNITS_OF_A_LEASE: f64 = 3.0;

/// The calls that read; all others write.
const READS: [&str; 4] =
    ["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Query on an index"];

/// How long an invocation takes as on AWS, which the benchmark measures, in milliseconds, in the order of
/// [`ACTIONS`].
const ASSUMED: [f64; 4] = [24.0, 25.0, 26.0, 6.0];

/// What Lambda itself writes about an invocation (START, END and REPORT), and API Gateway's access log about
/// a frame, in bytes. Neither is written here.
const WRITTEN_BY_AWS: f64 = 700.0;

#[tokio::test]
async fn what_an_action_costs_is_what_it_uses() {
    let (dynamodb, callbacks) = (DynamoDb::start().await, Callbacks::start().await);
    let env = [("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url.as_str()), ("PUSH_ENDPOINT", &callbacks.url)];
    let (stack, _database) = Stack::own_with(&env).await;
    dynamodb.pass_on_to(&stack.dynamodb_url);
    callbacks.pass_on_to(stack.port);
    let Pair { alice: _alice, alice_phone: mut phone, bob: _bob, mut bob_phone, conversation } =
        pair(&stack).await;
    for client in [&mut phone, &mut bob_phone] {
        client.joins(&conversation).await;
        client.asks(json!({ "action": "ping" })).await;
    }
    let sent = phone.says(&conversation, "Shall we?").await;
    bob_phone.receives_message().await;
    phone.edits(&sent, "Shall we go?").await;
    bob_phone.sees_change().await;
    bob_phone.asks(json!({ "action": "mark_read", "conversationId": conversation })).await;
    phone.hears(|event| matches!(event, Event::MessagesRead { .. }).then_some(())).await;

    let seen = |function: &str| -> BTreeMap<&str, f64> {
        let sum = |counts: BTreeMap<(String, String), usize>, fits: &dyn Fn(&str) -> bool| {
            let of_it = counts.into_iter().filter(|((caller, call), _)| caller == function && fits(call));
            of_it.map(|(_, count)| count).sum::<usize>() as f64
        };
        let lines: Vec<_> =
            stack.lines().into_iter().filter(|(of, _)| of == function).map(|(_, line)| line).collect();
        let invocations = lines.iter().filter(|line| line.get("outcome").is_some()).count() as f64;
        let bytes: usize = lines.iter().map(|line| line.to_string().len() + 1).sum();
        let reads = sum(dynamodb.has_been_asked(), &|call| READS.contains(&call));
        let writes = sum(dynamodb.has_been_asked(), &|call| !READS.contains(&call));
        BTreeMap::from([
            // The frame, its answer, and what is pushed for it.
            (
                "WebSocket messages",
                2.0 + sum(callbacks.have_been_called(), &|call| call == "POST") / invocations,
            ),
            ("Lambda invocations", 1.0),
            ("DynamoDB read units", reads / invocations),
            ("DynamoDB write units", UNITS_OF_A_LEASE * writes / invocations),
            ("Log, KB", (bytes as f64 / invocations + WRITTEN_BY_AWS) / 1000.0),
        ])
    };
    let invocations = |function: &str| {
        stack.lines().iter().filter(|(of, line)| of == function && line.get("outcome").is_some()).count()
    };
    let done = async || ACTIONS.map(invocations) == [1, 1, 1, 2];
    eventually("every invocation has its line", done).await;

    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/README.md")).unwrap();
    let rows = rows(&readme);
    let number = |row: &str, column: usize| -> f64 {
        let text = rows.get(row).unwrap_or_else(|| panic!("the table has no row {row}"))[column]
            .replace(['$', ',', '*', '|'], "");
        text.trim().parse().unwrap_or_else(|_| panic!("{row}: {text}"))
    };
    let priced = [
        "WebSocket messages",
        "Lambda invocations",
        "Lambda, GB-ms",
        "DynamoDB read units",
        "DynamoDB write units",
        "Log, KB",
        "Traces",
    ];
    for (column, action) in ACTIONS.into_iter().enumerate() {
        for (row, used) in seen(action) {
            let said = number(row, column);
            let fits = match row {
                // Lines differ a little in length.
                "Log, KB" => (used - said).abs() < 0.25,
                _ => used == said,
            };
            assert!(fits, "{action}: {row}: the table says {said}, and {used} were used");
        }
        let gigabytes = memory(action) / 1024.0;
        assert_eq!(number("Lambda, GB-ms", column), gigabytes * ASSUMED[column], "{action}");
        let million: f64 = priced.iter().map(|row| number(row, column) * number(row, 4)).sum();
        let said = number("**A million cost**", column);
        assert!((million - said).abs() < 0.006, "{action}: the column adds up to {million:.2}, not {said}");
    }
    // A thousand users who are always there: 730 hours of connections, and a ping every four minutes.
    let minutes = 1000.0 * 730.0 * 60.0 / 1e6;
    let connected = minutes * 0.25;
    let pings = minutes / 4.0 * number("**A million cost**", 3);
    assert!((number("Connection minutes", 0) - connected).abs() < 0.006, "{connected}");
    assert!((number("Pings", 0) - pings).abs() < 0.006, "{pings}");
}

#[tokio::test]
async fn what_an_event_costs_is_what_it_uses() {
    const ASSUMED: f64 = 60.0;
    let receiver = Receiver::start().await;
    let (stack, _database) = Stack::own_with(&receiver.env()).await;
    let Pair { alice: _alice, alice_phone: mut phone, bob: _bob, conversation, .. } = pair(&stack).await;
    receiver.takes(1, &conversation).await;
    const MESSAGES: usize = 10;
    for number in 1..=MESSAGES {
        phone.says(&conversation, "Shall we?").await;
        // One at a time: together they would cost less.
        receiver.takes(1 + number, &conversation).await;
    }
    let of_deliveries = || stack.lines().into_iter().filter(|(function, _)| function == "deliver_events");
    let invocations = || of_deliveries().filter(|(_, line)| line.get("outcome").is_some()).count();
    eventually("every invocation has its line", async || invocations() > MESSAGES).await;
    let bytes: usize = of_deliveries().map(|(_, line)| line.to_string().len() + 1).sum();
    let used = (bytes as f64 / invocations() as f64 + WRITTEN_BY_AWS) / 1000.0;

    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/README.md")).unwrap();
    let table = readme.split("| billed | an event |").nth(1).expect("the table of events is there");
    let table = rows(table.split("\n\n").next().unwrap());
    let number = |row: &str, column: usize| -> f64 {
        table[row][column].replace(['$', '*', '|'], "").trim().parse().unwrap_or_else(|_| panic!("{row}"))
    };
    assert_eq!(number("Invocations", 0), 1.0);
    assert_eq!(number("GB-ms", 0), memory("deliver_events") / 1024.0 * ASSUMED);
    assert!((number("KB of log", 0) - used).abs() < 0.25, "{used} KB are logged");
    let priced = ["Invocations", "GB-ms", "KB of log", "X-Ray traces"];
    let million: f64 = priced.iter().map(|row| number(row, 0) * number(row, 1)).sum();
    let said = number("**A million events cost**", 0);
    assert!((million - said).abs() < 0.006, "the column adds up to {million:.2}, not {said}");
}

/// The parts of a message's price that do not depend on who listens: invocation, processor time, log, traces.
const PRICE_OF_ANY_SEND: f64 = 0.20 + 12.0 * 0.016_666_7 + 1.5 * 0.50 + 0.05 * 5.00;

#[tokio::test]
async fn what_a_message_costs_by_the_number_of_participants() {
    let (dynamodb, callbacks) = (DynamoDb::start().await, Callbacks::start().await);
    let env = [("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url.as_str()), ("PUSH_ENDPOINT", &callbacks.url)];
    let (stack, _database) = Stack::own_with(&env).await;
    dynamodb.pass_on_to(&stack.dynamodb_url);
    callbacks.pass_on_to(stack.port);
    let (alice, bob) = (User::of(&stack, "Alice"), User::of(&stack, "Bob"));
    let mut phone = alice.connects().await;
    let mut devices = Vec::new();
    for _ in 0..10 {
        devices.push(bob.connects().await);
    }
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/README.md")).unwrap();
    let rows = rows(&readme);
    let calls = |stack: &Stack| {
        let sends = stack
            .lines()
            .into_iter()
            .filter(|(of, line)| of == "send_message" && line.get("outcome").is_some());
        sends.map(|(_, line)| line["dynamodb_calls"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    for (number, participants) in [2, 80, 300, 1000].into_iter().enumerate() {
        let group = alice.makes_group(&[&bob]).await;
        crate::groups::has_crowd(&stack, &group, participants - 2).await;
        for device in &mut devices {
            device.joins(&group).await;
        }
        let count = || {
            let sum = |counts: BTreeMap<(String, String), usize>| -> usize {
                counts
                    .into_iter()
                    .filter(|((caller, _), _)| caller == "send_message")
                    .map(|(_, count)| count)
                    .sum()
            };
            (sum(dynamodb.has_been_asked()), sum(callbacks.have_been_called()))
        };
        let before = count();
        phone.says(&group, "to all who listen").await;
        for device in &mut devices {
            device.receives_message().await;
        }
        let after = count();
        let (units, pushed) = ((after.0 - before.0) as f64, (after.1 - before.1) as f64);
        let messages = 2.0 + pushed;
        let row = match participants {
            1000 => &rows["1,000"],
            _ => &rows[participants.to_string().as_str()],
        };
        let cells: Vec<f64> =
            row.iter().map(|cell| cell.replace(['$', ','], "").trim().parse().unwrap()).collect();
        let price = PRICE_OF_ANY_SEND + units * 0.125 + messages * 1.00;
        assert_eq!((cells[0], cells[1]), (units, messages), "{participants} participants");
        assert!((cells[2] - price).abs() < 0.006, "{participants} participants: {price:.3}");
        let done = async || calls(&stack).len() == number + 1;
        eventually("the send has its line", done).await;
    }
    assert_eq!(calls(&stack), [1; 4], "one call of DynamoDB each");
}

/// How much memory the template gives to a function, in MB.
fn memory(function: &str) -> f64 {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/template.yaml")).unwrap();
    let template: serde_norway::Value = serde_norway::from_str(&text).unwrap();
    let resources = template["Resources"].as_mapping().unwrap().values();
    let is_it = |resource: &&serde_norway::Value| {
        resource.get("Metadata").is_some_and(|metadata| metadata["BuildProperties"]["Binary"] == function)
    };
    let own = resources.into_iter().find(is_it).expect("the template has it")["Properties"].get("MemorySize");
    own.unwrap_or(&template["Globals"]["Function"]["MemorySize"]).as_f64().unwrap()
}

/// The rows of the tables of a document by what their first cell says, with the other cells.
fn rows(markdown: &str) -> BTreeMap<&str, Vec<&str>> {
    let lines = markdown.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    lines
        .map(|line| {
            let mut cells = line.split(" | ");
            (cells.next().unwrap_or_default(), cells.collect())
        })
        .collect()
}
