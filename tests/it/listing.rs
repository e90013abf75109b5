//! Lists over HTTP: conversations, and the messages of one.

use protocol::rest::MessagePage;
use protocol::{ErrorBody, Event};
use serde_json::json;

use crate::harness::user::pair;
use crate::harness::{Stack, User};

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
    let alice = stack.user("Alice");
    let mut phone = alice.connects().await;
    let mut conversations = Vec::new();
    for name in ["Bob", "Carol", "Dave"] {
        let other = stack.user(name);
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
    assert_eq!(bob.other_user.user.display_name.as_deref(), Some("Bob"));
    assert!(bob.other_user.online);
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
    let (alice, mut alice_phone, bob, bob_phone, _) = pair(&stack).await;
    let before = alice.lists_conversations("").await;
    assert_eq!(
        (before.conversations[0].other_user.online, before.conversations[0].other_user.last_seen_at),
        (true, None)
    );
    bob_phone.closes().await;
    let left = alice_phone
        .hears(|event| match event {
            Event::UserOffline { user_id, last_seen_at, .. } if user_id.as_str() == bob.id => {
                Some(*last_seen_at)
            }
            _ => None,
        })
        .await;
    let after = alice.lists_conversations("").await;
    assert_eq!(
        (after.conversations[0].other_user.online, after.conversations[0].other_user.last_seen_at),
        (false, Some(left))
    );
}

#[tokio::test]
async fn a_conversation_is_read_page_by_page_in_both_directions() {
    let stack = Stack::shared();
    let (alice, mut phone, ..) = pair(&stack).await;
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
    let (_, mut alice_phone, bob, mut bob_phone, conversation) = pair(&stack).await;
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

#[tokio::test]
async fn an_empty_conversation_is_an_empty_page() {
    let stack = Stack::shared();
    let (alice, _, _, _, conversation) = pair(&stack).await;
    assert_eq!(alice.reads(&conversation, "").await, MessagePage { messages: Vec::new(), has_more: false });
}

#[tokio::test]
async fn what_is_no_page_is_refused() {
    let stack = Stack::shared();
    let (alice, mut phone, _, _, conversation) = pair(&stack).await;
    let message = phone.says(&conversation, "hi").await.id.to_string();
    let (_, mut others_phone, _, _, others) = pair(&stack).await;
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
        ("?before=x".to_owned(), "before: must be a UUID"),
        ("?after=".to_owned(), "after: must be a UUID"),
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
    let mallory = stack.user("Mallory");
    let stranger = refused(&mallory, &messages).await;
    let unknown = refused(&mallory, &format!("/api/conversations/{}/messages", uuid::Uuid::now_v7())).await;
    assert_eq!((stranger.0, stranger.1.clone()), (403, json!("forbidden")));
    assert_eq!(stranger, unknown, "no telling which of the two it is");
    for path in ["/api/conversations", &messages] {
        assert_eq!(reqwest::get(stack.http(path)).await.unwrap().status(), 401);
    }
}
