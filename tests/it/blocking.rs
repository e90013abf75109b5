//! Users block each other.

use std::sync::Arc;

use harness::{Stack, connect, eventually};
use protocol::rest::{Blocks, ParticipantPage};
use protocol::{Code, ErrorBody, Event};
use reqwest::Method;
use serde_json::json;

use crate::people::{Client, Frame, Pair, User, pair};
use crate::queue::{Call, in_turn};
use crate::stand_ins::dynamodb::DynamoDb;

/// Blocks a user, or ends that. Returns the status.
async fn sets(user: &User, other: &str, method: Method) -> u16 {
    let path = format!("/api/blocks?userId={other}");
    user.requests(method, &path, None).await.status().as_u16()
}

async fn blocks(user: &User, other: &User) {
    assert_eq!(sets(user, &other.id, Method::PUT).await, 204);
}

async fn unblocks(user: &User, other: &User) {
    assert_eq!(sets(user, &other.id, Method::DELETE).await, 204);
}

async fn blocked(user: &User) -> Vec<String> {
    let answer = user.gets("/api/blocks").await;
    assert_eq!(answer.status(), 200);
    let Blocks { user_ids } = answer.json().await.expect("it answers as the protocol says");
    user_ids.into_iter().map(String::from).collect()
}

#[tokio::test]
async fn a_block_closes_the_conversation_of_two_to_both() {
    let stack = Stack::shared();
    let Pair { alice, alice_phone, bob, bob_phone, conversation } = pair(&stack).await;
    let mut phones = [alice_phone, bob_phone];
    for phone in &mut phones {
        phone.joins(&conversation).await;
    }
    let sent = phones[0].says(&conversation, "hello").await;
    let answered = phones[1].says(&conversation, "leave me alone").await;
    assert_eq!(phones[0].receives_message().await, answered);
    let reacted = phones[0].reacts(&answered, "👎").await;
    blocks(&bob, &alice).await;

    let mut refusals = Vec::new();
    for (phone, own) in phones.iter_mut().zip([&sent, &answered]) {
        for frame in [
            json!({ "action": "send_message", "conversationId": conversation, "content": "?" }),
            json!({ "action": "join_conversation", "conversationId": conversation }),
            json!({ "action": "edit_message", "messageId": own.id, "content": "!" }),
            json!({ "action": "add_reaction", "messageId": own.id, "reaction": "👍" }),
            json!({ "action": "typing_start", "conversationId": conversation }),
        ] {
            let (code, message) = phone.is_refused(frame).await;
            assert_eq!(code, Code::Forbidden, "{message}");
            refusals.push(message);
        }
    }
    let (alices, bobs) = refusals.split_at(5);
    assert_eq!(alices, bobs, "neither learns who has blocked whom");

    // What was said is still there, and can be taken back.
    assert_eq!(alice.reads(&conversation, "").await.messages.len(), 2);
    let mut took_back = phones[0].takes_back(&reacted, "👎").await;
    took_back.read_at = None;
    assert!(took_back.reactions.is_empty());
    assert!(phones[0].deletes(&sent).await.deleted_at.is_some());

    // A block of the other side keeps it closed.
    blocks(&alice, &bob).await;
    unblocks(&bob, &alice).await;
    let say = json!({ "action": "send_message", "conversationId": conversation, "content": "?" });
    assert_eq!(phones[1].is_refused(say.clone()).await.0, Code::Forbidden);
    unblocks(&alice, &bob).await;
    phones[0].joins(&conversation).await;
    phones[1].says(&conversation, "let us try again").await;
    assert_eq!(phones[0].receives_message().await.content, "let us try again");
}

#[tokio::test]
async fn presence_typing_and_receipts_are_hidden_from_both() {
    let stack = Stack::shared();
    let Pair { alice, alice_phone: mut phone, bob, mut bob_phone, conversation } = pair(&stack).await;
    let carol = User::of(&stack, "Carol");
    let mut carol_phone = carol.connects().await;
    let group = carol.makes_group(&[&alice, &bob]).await;
    for client in [&mut phone, &mut bob_phone, &mut carol_phone] {
        client.joins(&group).await;
    }
    phone.says(&conversation, "read this").await;
    bob.reads(&conversation, "").await;
    let read_at = async |user: &User| user.reads(&conversation, "?markRead=false").await.messages[0].read_at;
    assert!(read_at(&alice).await.is_some());
    assert!(alice.sees(&conversation).await.other_user.unwrap().online);
    for text in ["unread", "and this"] {
        bob_phone.says(&conversation, text).await;
    }
    bob_phone.says(&group, "hello").await;
    alice.reads(&group, "").await;
    bob.reads(&group, "").await;

    blocks(&alice, &bob).await;
    for (user, other) in [(&alice, &bob), (&bob, &alice)] {
        for seen in
            [user.sees(&conversation).await, user.lists_conversations("").await.conversations.remove(1)]
        {
            let shown = seen.other_user.expect("it is the conversation of two");
            assert_eq!((shown.online, shown.last_seen_at), (false, None), "{}", user.name);
            assert_eq!(seen.last_message.unwrap().read_at, None, "{}", user.name);
        }
        assert_eq!(
            user.catches_up(&conversation, "").await.conversation.other_user.unwrap().last_seen_at,
            None
        );
        assert_eq!(read_at(user).await, None);
        let path = format!("/api/conversations/{group}/participants");
        let page: ParticipantPage = user.gets(&path).await.json().await.unwrap();
        for of in page.participants {
            let hidden = of.user.id.as_str() == other.id;
            assert_eq!(
                (of.online, of.read_up_to_seq.0 == 0),
                (!hidden, hidden || of.user.id.as_str() == carol.id)
            );
        }
    }
    // In the group all go on, and only Carol sees what both do.
    phone.sends(json!({ "action": "typing_start", "conversationId": group })).await;
    bob_phone.sends(json!({ "action": "typing_start", "conversationId": group })).await;
    let typing = |event: &Event| match event {
        Event::UserTyping { user_id, .. } => Some(user_id.to_string()),
        _ => None,
    };
    let mut seen = [carol_phone.hears(typing).await, carol_phone.hears(typing).await];
    seen.sort();
    assert_eq!(seen, [alice.id.clone(), bob.id.clone()]);
    assert_eq!(phone.joins(&group).await.online_user_ids.len(), 2, "she and Carol");
    carol_phone.says(&group, "who types?").await;
    for client in [&mut phone, &mut bob_phone] {
        let heard = client.has_heard().await;
        assert!(heard.iter().any(|event| matches!(event, Event::NewMessage(_))), "{heard:?}");
        assert!(!heard.iter().any(|event| typing(event).is_some()), "{heard:?}");
    }

    // Receipts and presence are not pushed either.
    let mark = json!({ "action": "mark_read", "conversationId": conversation, "upToSeq": 2 });
    assert!(matches!(phone.asks(mark).await, Event::MessagesRead { up_to_seq, .. } if up_to_seq.0 == 2));
    alice.reads(&conversation, "").await;
    phone.closes().await;
    carol_phone.hears(|event| matches!(event, Event::UserOffline { .. }).then_some(())).await;
    let mut phone = alice.connects().await;
    carol_phone.hears(|event| matches!(event, Event::UserOnline { .. }).then_some(())).await;
    bob_phone.asks(json!({ "action": "ping" })).await;
    let heard = bob_phone.has_heard().await;
    let shows = |event: &Event| {
        matches!(event, Event::UserOnline { .. } | Event::UserOffline { .. } | Event::MessagesRead { .. })
    };
    assert!(!heard.iter().any(shows), "{heard:?}");

    // Afterwards all is as before, also for who is still in the room.
    unblocks(&alice, &bob).await;
    phone.joins(&group).await;
    phone.sends(json!({ "action": "typing_start", "conversationId": group })).await;
    assert_eq!(bob_phone.hears(typing).await, alice.id);
    assert!(read_at(&alice).await.is_some());
    assert!(bob.sees(&conversation).await.other_user.unwrap().online);
}

#[tokio::test]
async fn who_is_blocked_adds_nobody_who_blocked_them_to_a_group() {
    let stack = Stack::shared();
    let [alice, bob, carol] = ["Alice", "Bob", "Carol"].map(|name| User::of(&stack, name));
    let (mut phone, _bobs, _carols) = (alice.connects().await, bob.connects().await, carol.connects().await);
    blocks(&bob, &alice).await;
    let group = alice.makes_group(&[&bob, &carol]).await;
    assert_eq!(alice.sees(&group).await.participant_count, 2, "Bob is passed over");
    let added = |event: &Event| match event {
        Event::ParticipantsChanged { added, participant_count, .. } => {
            Some((added.len(), *participant_count))
        }
        _ => None,
    };
    assert_eq!(phone.hears(added).await, (2, 2));
    assert_eq!(alice.adds(&group, &[&bob]).await, 200);
    assert_eq!(bob.gets(&format!("/api/conversations/{group}")).await.status(), 403);
    let promote = json!({ "userId": carol.id, "role": "owner" });
    let path = format!("/api/conversations/{group}/participants");
    assert_eq!(alice.requests(Method::PATCH, &path, Some(&promote)).await.status(), 200);
    assert_eq!(carol.adds(&group, &[&bob]).await, 200, "others may");
    assert_eq!(bob.sees(&group).await.participant_count, 3);
    let bobs = bob.makes_group(&[&alice]).await;
    assert_eq!(bob.sees(&bobs).await.participant_count, 2, "he may add her");
}

#[tokio::test]
async fn blocks_are_listed_and_bad_input_is_refused() {
    let (stack, database) = Stack::own(&[]).await;
    let stack = Arc::new(stack);
    let [alice, bob, carol] = ["Alice", "Bob", "Carol"].map(|name| User::of(&stack, name));
    let _phones = (bob.connects().await, carol.connects().await);
    assert!(blocked(&alice).await.is_empty());
    for other in [&carol, &bob, &bob] {
        blocks(&alice, other).await;
    }
    assert_eq!(blocked(&alice).await, [bob.id.clone(), carol.id.clone()]);
    assert!(blocked(&bob).await.is_empty(), "who is blocked does not see it");
    for _ in 0..2 {
        unblocks(&alice, &bob).await;
    }
    assert_eq!(blocked(&alice).await, [carol.id.as_str()]);
    // A conversation that is made later is closed too.
    let (_, conversation) = carol.asks_for_conversation_with(&alice).await;
    let mut phone = carol.connects().await;
    let say = json!({ "action": "send_message", "conversationId": conversation, "content": "hello" });
    assert_eq!(phone.is_refused(say).await.0, Code::Forbidden);

    for method in [Method::PUT, Method::DELETE] {
        for (query, status, text) in [
            ("", 400, "userId: is missing"),
            ("?userId=", 400, "userId"),
            (&format!("?userId={}", alice.id), 400, "userId: must be another user"),
            ("?userId=nobody", 404, "userId: there is no such user"),
        ] {
            let answer = alice.requests(method.clone(), &format!("/api/blocks{query}"), None).await;
            assert_eq!(answer.status(), status, "{method} {query}");
            let body: ErrorBody = answer.json().await.unwrap();
            assert!(body.error.message.starts_with(text), "{}", body.error.message);
        }
    }
    let many = "insert into users (id) select 'many-' || n from generate_series(1, 1000) n;
        insert into blocks select $1, 'many-' || n from generate_series(1, 999) n"
        .replace("$1", &format!("'{}'", alice.id));
    connect(&database.url).await.batch_execute(&many).await.unwrap();
    assert_eq!(sets(&alice, "many-1", Method::PUT).await, 204, "it is there");
    assert_eq!(sets(&alice, "many-1000", Method::PUT).await, 400, "one too many");
    assert_eq!(blocked(&alice).await.len(), 1000);
}

fn block(by: &User, of: &User) -> Call {
    Call::Request(by.clone(), Method::PUT, format!("/api/blocks?userId={}", of.id), None)
}

#[tokio::test]
async fn a_send_that_waits_while_a_block_is_made_is_refused() {
    let (stack, _database) = Stack::own_with(&[]).await;
    let Pair { alice, alice_phone: phone, bob, conversation, .. } = pair(&stack).await;
    let row = format!("conversations where id = '{conversation}'");
    let say = json!({ "action": "send_message", "conversationId": conversation, "content": "hello" });
    let calls = [block(&bob, &alice), Call::Frame(0, say)];
    let [blocked, sent] = in_turn(&stack, &row, &mut [phone], calls).await;
    assert_eq!(blocked.status(), 204);
    assert!(matches!(sent.frame(), Frame::Error(error) if error.error.code == Code::Forbidden));
}

#[tokio::test]
async fn a_conversation_and_a_block_that_are_made_at_once_know_of_each_other() {
    let (stack, _database) = Stack::own_with(&[]).await;
    for block_is_first in [true, false] {
        let (alice, bob) = (User::of(&stack, "Alice"), User::of(&stack, "Bob"));
        let (mut phone, _bobs) = (alice.connects().await, bob.connects().await);
        // Both wait for the row of Bob, and get it in this order.
        let row = format!("users where id = '{}'", bob.id);
        let find = "/api/conversations/find-or-create".to_owned();
        let body = json!({ "otherUserId": bob.id });
        let finding = Call::Request(alice.clone(), Method::POST, find, Some(body));
        let blocking = block(&bob, &alice);
        let calls = if block_is_first { [blocking, finding] } else { [finding, blocking] };
        let answers = in_turn(&stack, &row, &mut [], calls).await;
        let made = answers.iter().find_map(|answer| answer.body()["conversationId"].as_str()).unwrap();
        let say = json!({ "action": "send_message", "conversationId": made, "content": "hello" });
        assert_eq!(phone.is_refused(say).await.0, Code::Forbidden, "the block is first: {block_is_first}");
    }
}

#[tokio::test]
async fn a_join_that_a_block_overtakes_hides_typing_all_the_same() {
    let dynamodb = DynamoDb::start().await;
    let env = [("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url.as_str())];
    let (stack, _database) = Stack::own_with(&env).await;
    dynamodb.pass_on_to(&stack.dynamodb_url);
    let [alice, bob, carol] = ["Alice", "Bob", "Carol"].map(|name| User::of(&stack, name));
    let mut phones = [alice.connects().await, bob.connects().await, carol.connects().await];
    let [phone, bobs, carols] = &mut phones;
    let group = alice.makes_group(&[&bob, &carol]).await;
    phone.joins(&group).await;
    carols.joins(&group).await;
    // Postgres has said that nobody is blocked.
    dynamodb.holds_changes_by("join_conversation", &bob.id);
    let joining = bobs.sends(json!({ "action": "join_conversation", "conversationId": group })).await;
    eventually("the join is about to enter the room", async || dynamodb.is_holding()).await;
    blocks(&alice, &bob).await;
    dynamodb.lets_go();
    assert!(matches!(bobs.is_answered(&joining).await, Frame::Event(_)));
    for typing in [&mut *phone, &mut *bobs] {
        typing.sends(json!({ "action": "typing_start", "conversationId": group })).await;
    }
    let typing = |event: &Event| matches!(event, Event::UserTyping { .. }).then_some(());
    carols.hears(typing).await;
    carols.hears(typing).await;
    let hears_none = async |client: &mut Client| {
        client.asks(json!({ "action": "ping" })).await;
        client.has_heard().await.iter().all(|event| typing(event).is_none())
    };
    assert!(hears_none(phone).await && hears_none(bobs).await);
}
