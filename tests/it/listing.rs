//! Lists over HTTP: conversations, and messages of a conversation.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::{Change, Seq};
use harness::{Stack, StackOptions, connect, folder};
use protocol::rest::MessagePage;
use protocol::{ErrorBody, Event};
use serde_json::json;

use crate::people::{Pair, User, pair};

async fn refused(user: &User, path: &str) -> (u16, serde_json::Value, String) {
    let answer = user.gets(path).await;
    let status = answer.status().as_u16();
    let body: ErrorBody = answer.json().await.unwrap();
    (status, serde_json::to_value(body.error.code).unwrap(), body.error.message)
}

fn contents(page: &MessagePage) -> Vec<i64> {
    page.messages.iter().map(|message| message.seq.0).collect()
}

#[tokio::test]
async fn conversations_come_with_the_newest_activity_first() {
    let stack = Stack::shared();
    let alice = User::of(&stack, "Alice");
    let mut phone = alice.connects().await;
    let mut conversations = Vec::new();
    for name in ["Bob", "Carol", "Dave"] {
        let other = User::of(&stack, name);
        let connection = other.connects().await;
        conversations.push((alice.asks_for_conversation_with(&other).await.1, other, connection));
    }
    let ids = |page: &protocol::rest::ConversationPage| {
        page.conversations.iter().map(|one| one.id.to_string()).collect::<Vec<_>>()
    };
    let [bobs, carols, daves] = [0, 1, 2].map(|at: usize| conversations[at].0.clone());
    assert_eq!(
        ids(&alice.lists_conversations("").await),
        [daves.clone(), carols.clone(), bobs.clone()],
        "the newest first"
    );

    let sent = conversations[0].2.says(&bobs, "Hi Alice").await;
    phone.says(&carols, "Hi Carol").await;
    let page = alice.lists_conversations("").await;
    assert_eq!(ids(&page), [carols.clone(), bobs.clone(), daves.clone()]);
    assert_eq!(page.next_cursor, None);
    let [carol, bob, dave] = &page.conversations[..] else { panic!("there are three") };
    assert_eq!(bob.last_message.as_ref(), Some(&sent));
    assert_eq!((bob.last_seq.0, bob.unread_count, bob.last_message_at), (1, 1, Some(sent.created_at)));
    let other_user = bob.other_user.as_ref().unwrap();
    assert_eq!(other_user.user.display_name.as_deref(), Some("Bob"));
    assert!(other_user.online);
    assert_eq!((carol.last_seq.0, carol.unread_count), (1, 0), "her own message is not unread");
    assert_eq!(
        (dave.last_seq.0, dave.unread_count, &dave.last_message, dave.last_message_at),
        (0, 0, &None, None)
    );

    let mut listed = Vec::new();
    let mut query = "?limit=1".to_owned();
    loop {
        let page = alice.lists_conversations(&query).await;
        assert_eq!(page.conversations.len(), 1);
        listed.extend(ids(&page));
        match page.next_cursor {
            Some(cursor) => query = format!("?limit=1&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(listed, [carols, bobs, daves], "page by page");
}

#[tokio::test]
async fn who_is_away_was_last_seen_when_they_left() {
    let stack = Stack::shared();
    let Pair { alice, mut alice_phone, bob, bob_phone, .. } = pair(&stack).await;
    let seen = async || {
        let other = alice.lists_conversations("").await.conversations.remove(0).other_user.unwrap();
        (other.online, other.last_seen_at)
    };
    assert_eq!(seen().await, (true, None));
    bob_phone.closes().await;
    let left = alice_phone
        .hears(|event| match event {
            Event::UserOffline { user_id, last_seen_at, .. } if user_id.as_str() == bob.id => {
                Some(*last_seen_at)
            }
            _ => None,
        })
        .await;
    assert_eq!(seen().await, (false, Some(left)));
}

#[tokio::test]
async fn a_conversation_is_read_page_by_page_in_both_directions() {
    let stack = Stack::shared();
    let Pair { alice, alice_phone: mut phone, .. } = pair(&stack).await;
    let conversation = alice.lists_conversations("").await.conversations[0].id.to_string();
    let mut ids = Vec::new();
    for number in 1..=7 {
        ids.push(phone.says(&conversation, &format!("{number}")).await.id.to_string());
    }
    let page = async |query: String| {
        let page = alice.reads(&conversation, &query).await;
        (contents(&page), page.has_more)
    };
    assert_eq!(page(String::new()).await, ((1..=7).collect(), false), "oldest to newest");
    assert_eq!(page("?limit=3".to_owned()).await, (vec![5, 6, 7], true), "the newest three");
    assert_eq!(page(format!("?limit=3&before={}", ids[4])).await, (vec![2, 3, 4], true));
    assert_eq!(page(format!("?limit=3&before={}", ids[1])).await, (vec![1], false));
    assert_eq!(
        page(format!("?limit=3&before={}", ids[3])).await,
        (vec![1, 2, 3], false),
        "exactly what is left"
    );
    assert_eq!(page(format!("?limit=3&after={}", ids[1])).await, (vec![3, 4, 5], true));
    assert_eq!(page(format!("?limit=3&after={}", ids[3])).await, (vec![5, 6, 7], false));
    assert_eq!(page(format!("?after={}", ids[6])).await, (vec![], false));
    assert_eq!(page(format!("?before={}", ids[0])).await, (vec![], false));
}

#[tokio::test]
async fn looking_at_a_conversation_marks_it_as_read_and_says_so_once() {
    let stack = Stack::shared();
    let Pair { mut alice_phone, bob, mut bob_phone, conversation, .. } = pair(&stack).await;
    alice_phone.says(&conversation, "1").await;
    alice_phone.says(&conversation, "2").await;
    bob_phone.says(&conversation, "3").await;
    assert_eq!(bob.lists_conversations("").await.conversations[0].unread_count, 2);

    let page = bob.reads(&conversation, "").await;
    assert!(page.messages[0].read_at.is_some() && page.messages[1].read_at.is_some(), "as of now");
    assert!(page.messages[2].read_at.is_none(), "Alice has not looked");
    let read = |event: &Event| match event {
        Event::MessagesRead { reader_id, up_to_seq, read_at, .. } => {
            Some((reader_id.as_str().to_owned(), up_to_seq.0, *read_at))
        }
        _ => None,
    };
    let expected = (bob.id.clone(), 3, page.messages[0].read_at.unwrap());
    assert_eq!(alice_phone.hears(read).await, expected);
    assert_eq!(bob_phone.hears(read).await, expected, "his devices agree");
    assert_eq!(bob.lists_conversations("").await.conversations[0].unread_count, 0);

    assert_eq!(bob.reads(&conversation, "").await.messages, page.messages);
    assert!(!alice_phone.has_heard().await.iter().any(|event| read(event).is_some()), "nothing changed");
}

/// Inserted directly, since so many users would take long to connect. Twenty were made each day.
async fn has_conversations(alice: &User, count: i64) {
    let made = connect(alice.stack.postgres_url())
        .await
        .execute(
            "with people as (
                 insert into users (id) select 'crowd-' || $1 || '-' || n from generate_series(1,
                   $2::bigint) as n returning id
             ), made as (
                 insert into conversations (id, first_user_id, second_user_id, created_at)
                 select gen_random_uuid(), least($1, id collate \"C\"), greatest($1, id collate \"C\"),
                        clock_timestamp() - interval '1 day' * (row_number() over () / 20)
                 from people
                 returning id, first_user_id, second_user_id, created_at
             )
             insert into participants (conversation_id, user_id, joined_at, active_on)
             select id, member, created_at, (created_at at time zone 'UTC')::date
             from made, lateral (values (first_user_id), (second_user_id)) as pair (member)",
            &[&alice.id, &count],
        )
        .await
        .unwrap();
    assert_eq!(i64::try_from(made).unwrap(), 2 * count);
}

#[tokio::test]
async fn a_page_has_50_conversations_by_default_and_a_pong_100() {
    let stack = Stack::shared();
    let alice = User::of(&stack, "Alice");
    let mut phone = alice.connects().await;
    has_conversations(&alice, 120).await;
    let first = alice.lists_conversations("").await;
    assert_eq!(first.conversations.len(), 50);
    let cursor = first.next_cursor.expect("there are more");
    let rest = alice.lists_conversations(&format!("?limit=100&cursor={cursor}")).await;
    assert_eq!((rest.conversations.len(), rest.next_cursor), (70, None));
    let Event::Pong { conversations, .. } = phone.asks(json!({ "action": "ping" })).await else {
        panic!("no pong")
    };
    let listed = first.conversations.iter().chain(&rest.conversations).map(|one| one.id);
    assert!(
        conversations.iter().map(|head| head.conversation_id).eq(listed.take(100)),
        "the same, in the same order"
    );
}

/// As Postgres reports: each statement uses index scans, and never reads many more rows than it returns.
#[tokio::test]
async fn pages_cost_the_same_however_long_a_conversation_or_a_list_is() {
    let folder = folder();
    let setting = |name: &'static str| ["--postgres-setting", name];
    let args = [
        setting("shared_preload_libraries=auto_explain"),
        setting("auto_explain.log_min_duration=0"),
        setting("auto_explain.log_analyze=on"),
        setting("auto_explain.log_timing=off"),
    ]
    .concat();
    let stack = Arc::new(Stack::start(&StackOptions {
        args: &args,
        data_dir: Some(folder.path()),
        ..StackOptions::default()
    }));
    let Pair { alice, alice_phone: mut phone, bob, conversation, .. } = pair(&stack).await;
    has_conversations(&alice, 2000).await;
    let database = connect(stack.postgres_url()).await;
    database
        .execute(
            "insert into messages (id, conversation_id, seq, sender_id, content, created_at)
             select gen_random_uuid(), $1::text::uuid, n, case when n % 2 = 0 then $2 else $3 end,
               'message ' || n, clock_timestamp()
             from generate_series(1, 200000) as n",
            &[&conversation, &alice.id, &bob.id],
        )
        .await
        .unwrap();
    let middle = "select id::text from messages where conversation_id::text = $1 and seq = 100000";
    database
        .execute(
            "update conversations set last_seq = 200000, last_message_at = clock_timestamp() where \
            id::text = $1",
            &[&conversation],
        )
        .await
        .unwrap();
    let middle: String = database.query_one(middle, &[&conversation]).await.unwrap().get(0);
    database.batch_execute("vacuum analyze").await.unwrap();

    let log = find(folder.path(), "data.log").expect("the server writes one");
    let before = std::fs::read_to_string(&log).unwrap().len();
    // Often enough for Postgres to choose a generic plan.
    for _ in 0..7 {
        let page = alice.lists_conversations("").await;
        alice.lists_conversations(&format!("?cursor={}", page.next_cursor.unwrap())).await;
        for query in [String::new(), format!("?before={middle}"), format!("?after={middle}")] {
            assert_eq!(alice.reads(&conversation, &query).await.messages.len(), 50);
        }
        phone.says(&conversation, "one more").await;
        let named = json!({ "conversationId": conversation, "content": "x", "clientMessageId": "one",
            "replyTo": middle });
        let sent = phone.sends_message(named.clone()).await;
        assert_eq!(phone.sends_message(named).await, sent, "a repeat is found");
        phone
            .is_refused(json!({ "action": "send_message", "conversationId": conversation, "content": "x",
                "replyTo": uuid::Uuid::nil() }))
            .await;
        phone.asks(json!({ "action": "mark_read", "conversationId": conversation })).await;
        phone.asks(json!({ "action": "ping" })).await;
    }
    let plans = std::fs::read_to_string(&log).unwrap().split_off(before);
    let nodes: Vec<_> = plans.lines().filter(|line| line.contains("(actual rows=")).collect();
    assert!(nodes.len() > 500, "there are plans: {}", nodes.len());
    for node in nodes {
        let rows = node.split("(actual rows=").nth(1).and_then(|rest| rest.split([' ', '.']).next()).unwrap();
        assert!(rows.parse::<u32>().unwrap() <= 141, "{node}");
        for table in ["messages", "conversations", "participants"] {
            assert!(!node.contains(&format!("Seq Scan on {table} ")), "{node}");
        }
    }
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| match entry.path() {
        path if path.file_name().is_some_and(|file| file == name) => Some(path),
        path if path.is_dir() => find(&path, name),
        _ => None,
    })
}

#[tokio::test]
async fn an_empty_conversation_is_an_empty_page() {
    let stack = Stack::shared();
    let Pair { alice, conversation, .. } = pair(&stack).await;
    let empty =
        MessagePage { messages: Vec::new(), has_more: false, first_seq: Seq(1), last_change: Change(0) };
    assert_eq!(alice.reads(&conversation, "").await, empty);
}

#[tokio::test]
async fn what_is_no_page_is_refused() {
    let stack = Stack::shared();
    let Pair { alice, alice_phone: mut phone, conversation, .. } = pair(&stack).await;
    let message = phone.says(&conversation, "hi").await.id.to_string();
    let Pair { alice_phone: mut others_phone, conversation: others, .. } = pair(&stack).await;
    let others_message = others_phone.says(&others, "hi").await.id.to_string();
    let messages = format!("/api/conversations/{conversation}/messages");
    let says = |status: u16, code: &str, message: &str| (status, json!(code), message.to_owned());

    for (query, reason) in [
        ("?limit=0", "limit: must be from 1 to 100"),
        ("?limit=101", "limit: must be from 1 to 100"),
        ("?limit=x", "limit: invalid digit found in string"),
        ("?limit=1&limit=2", "limit: must be given once"),
        ("?cursor=x", "cursor: is not a cursor that was given out"),
        ("?cursor=", "cursor: is not a cursor that was given out"),
    ] {
        assert_eq!(
            refused(&alice, &format!("/api/conversations{query}")).await,
            says(400, "invalid_request", reason)
        );
    }
    for (query, reason) in [
        ("?limit=0".to_owned(), "limit: must be from 1 to 100"),
        ("?before=x".to_owned(), "before: must be a UUID or a seq"),
        ("?after=".to_owned(), "after: must be a UUID or a seq"),
        ("?after=-1".to_owned(), "after: must be a UUID or a seq"),
        ("?markRead=no".to_owned(), "markRead: must be true or false"),
        (format!("?before={message}&after={message}"), "before, after: only one of them may be given"),
        (format!("?before={others_message}"), "before, after: no message of this conversation has this id"),
        (
            format!("?after={}", uuid::Uuid::now_v7()),
            "before, after: no message of this conversation has this id",
        ),
    ] {
        assert_eq!(
            refused(&alice, &format!("{messages}{query}")).await,
            says(400, "invalid_request", reason)
        );
    }
    let nonsense = refused(&alice, "/api/conversations/nonsense/messages").await;
    assert_eq!(nonsense, says(400, "invalid_request", "conversationId: must be a UUID"));
    let mallory = User::of(&stack, "Mallory");
    let stranger = refused(&mallory, &messages).await;
    let unknown = refused(&mallory, &format!("/api/conversations/{}/messages", uuid::Uuid::now_v7())).await;
    assert_eq!((stranger.0, stranger.1.clone()), (403, json!("forbidden")));
    assert_eq!(stranger, unknown, "no telling which of the two it is");
    for path in ["/api/conversations", &messages] {
        assert_eq!(reqwest::get(stack.http(path)).await.unwrap().status(), 401);
    }
}
