//! Messages answer others and carry data, and are edited, deleted and reacted to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::{Change, MessageId, Seq};
use harness::{Stack, connect};
use protocol::{Answer, Code, ErrorBody, Event, Message};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::groups::has_crowd;
use crate::people::{Client, Frame, Pair, User, pair};

fn edit(message: &Message, content: &str) -> Value {
    json!({ "action": "edit_message", "messageId": message.id, "content": content })
}

fn delete(message: &Message) -> Value {
    json!({ "action": "delete_message", "messageId": message.id })
}

fn react(message: &Message, reaction: &str) -> Value {
    json!({ "action": "add_reaction", "messageId": message.id, "reaction": reaction })
}

fn take_back(message: &Message, reaction: &str) -> Value {
    json!({ "action": "remove_reaction", "messageId": message.id, "reaction": reaction })
}

/// The reactions of a message: each with its number and its users.
fn reactions(message: &Message) -> Vec<(String, i64, Vec<String>)> {
    let of = |reaction: &protocol::ReactionCount| {
        let users = reaction.user_ids.iter().map(ToString::to_string).collect();
        (reaction.reaction.as_str().to_owned(), reaction.count, users)
    };
    message.reactions.iter().map(of).collect()
}

/// A group of these people, the first of whom has made it, each with a phone that has joined.
async fn group(stack: &Arc<Stack>, names: &[&str]) -> (Vec<User>, Vec<Client>, String) {
    let people: Vec<_> = names.iter().map(|name| User::of(stack, name)).collect();
    let mut phones = Vec::new();
    for user in &people {
        phones.push(user.connects().await);
    }
    let group = people[0].makes_group(&people[1..].iter().collect::<Vec<_>>()).await;
    for phone in &mut phones {
        phone.joins(&group).await;
        phone.has_heard().await;
    }
    (people, phones, group)
}

#[tokio::test]
async fn an_edit_is_stored_and_told() {
    let stack = Stack::shared();
    let Pair { alice, mut alice_phone, bob, mut bob_phone, conversation } = pair(&stack).await;
    let mut bob_laptop = bob.connects().await;
    bob_phone.joins(&conversation).await;
    let sent = alice_phone.says(&conversation, "helo").await;
    assert_eq!((sent.change, sent.edited_at, sent.deleted_at), (None, None, None));
    bob_phone.receives_message().await;
    bob_laptop.has_heard().await;

    let (edited, change) = alice_phone.changes(edit(&sent, "hello")).await;
    assert_eq!((edited.content.as_str(), change, edited.change), ("hello", Some(1), Some(Change(1))));
    assert!(edited.edited_at.is_some());
    let before = Message { content: sent.content.clone(), edited_at: None, change: None, ..edited.clone() };
    assert_eq!(before, sent, "nothing else has changed");
    assert_eq!(bob_phone.sees_change().await, edited);
    let updated = bob_laptop
        .hears(|event| match event {
            Event::ConversationUpdated { last_message, last_seq, unread_count, .. } => {
                Some((last_message.clone(), *last_seq, *unread_count))
            }
            _ => None,
        })
        .await;
    assert_eq!(updated, (edited.clone(), Seq(1), 1), "who has not joined sees it in the list");
    assert_eq!(alice.reads(&conversation, "").await.messages, std::slice::from_ref(&edited));
    assert_eq!(bob.lists_conversations("").await.conversations[0].last_message, Some(edited.clone()));
    assert_eq!(bob.sees(&conversation).await.last_message, Some(edited.clone()));

    // The same again changes nothing.
    let (again, change) = alice_phone.changes(edit(&sent, "hello")).await;
    assert_eq!((again, change), (edited, Some(1)));
    // An older message is no news for those who have not joined.
    let next = alice_phone.says(&conversation, "how are you?").await;
    bob_laptop.has_heard().await;
    alice_phone.edits(&sent, "hello!").await;
    assert_eq!(bob_phone.receives_message().await, next);
    assert_eq!(bob_phone.sees_change().await.content, "hello!");
    assert!(bob_phone.has_heard().await.is_empty());
    assert!(bob_laptop.has_heard().await.is_empty());
}

#[tokio::test]
async fn an_edit_keeps_or_replaces_the_metadata() {
    let stack = Stack::shared();
    let Pair { mut alice_phone, conversation, .. } = pair(&stack).await;
    let with = json!({ "conversationId": conversation, "content": "a", "metadata": { "mood": "good" } });
    let sent = alice_phone.sends_message(with).await;
    let text = |message: &Message| message.metadata.as_ref().map(|metadata| metadata.as_str().to_owned());
    let kept = alice_phone.edits(&sent, "b").await;
    assert_eq!(text(&kept).as_deref(), Some(r#"{"mood":"good"}"#));
    let mut frame = edit(&sent, "b");
    for (metadata, expected, change) in [
        (json!({ "mood": "better" }), Some(r#"{"mood":"better"}"#), 2),
        (json!({ "mood": "better" }), Some(r#"{"mood":"better"}"#), 2),
        (json!(null), None, 3),
        (json!(null), None, 3),
    ] {
        frame["metadata"] = metadata;
        let (edited, of) = alice_phone.changes(frame.clone()).await;
        assert_eq!((text(&edited).as_deref(), of), (expected, Some(change)));
    }
}

#[tokio::test]
async fn only_its_sender_edits_a_message() {
    let stack = Stack::shared();
    let (_, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let sent = phones[1].says(&group, "mine").await;
    phones[0].receives_message().await;
    let refused = phones[0].is_refused(edit(&sent, "ours")).await;
    assert_eq!(refused, (Code::Forbidden, "messageId: only its sender may edit a message".to_owned()));
    assert_eq!(phones[1].edits(&sent, "still mine").await.change, Some(Change(2)), "no number was taken");
}

#[tokio::test]
async fn an_edit_that_expects_another_change_does_nothing() {
    let stack = Stack::shared();
    let Pair { alice, mut alice_phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    let mut laptop = alice.connects().await;
    bob_phone.joins(&conversation).await;
    let sent = alice_phone.says(&conversation, "one").await;
    let expecting = |content: &str, change: Value| {
        let mut frame = edit(&sent, content);
        frame["ifChange"] = change;
        frame
    };
    // The first time nothing has changed yet.
    let (two, change) = alice_phone.changes(expecting("two", json!(null))).await;
    assert_eq!((two.content.as_str(), change), ("two", Some(1)));
    // Its answer was lost, and meanwhile another device has edited.
    let three = laptop.edits(&sent, "three").await;
    bob_phone.has_heard().await;
    for stale in [json!(null), json!(1), json!(99)] {
        let (unchanged, change) = alice_phone.changes(expecting("two", stale)).await;
        assert_eq!((unchanged, change), (three.clone(), Some(2)));
    }
    let (four, change) = alice_phone.changes(expecting("four", json!(2))).await;
    assert_eq!((four.content.as_str(), change), ("four", Some(3)));
    assert_eq!(bob_phone.sees_change().await, four);
    // Also when the message is deleted meanwhile.
    let deleted = laptop.deletes(&sent).await;
    let (unchanged, change) = alice_phone.changes(expecting("five", json!(3))).await;
    assert_eq!((unchanged, change), (deleted.clone(), Some(4)));
    assert_eq!(alice_phone.is_refused(expecting("five", json!(4))).await.0, Code::InvalidRequest);
}

#[tokio::test]
async fn a_deleted_message_keeps_its_place_and_nothing_else() {
    let stack = Stack::shared();
    let Pair { alice, mut alice_phone, bob, mut bob_phone, conversation } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    let secret = format!("secret-{}", Uuid::new_v4().simple());
    let first = alice_phone.says(&conversation, "first").await;
    let sent = alice_phone
        .sends_message(json!({
            "conversationId": conversation, "content": secret, "clientMessageId": "one",
            "metadata": { "also": secret }, "replyTo": first.id,
        }))
        .await;
    let reaction = &secret[..32];
    bob_phone.reacts(&sent, reaction).await;
    alice_phone.edits(&sent, &format!("{secret}!")).await;
    bob_phone.has_heard().await;

    let (deleted, change) = alice_phone.changes(delete(&sent)).await;
    assert_eq!((deleted.content.as_str(), &deleted.metadata, change), ("", &None, Some(3)));
    assert!(deleted.reactions.is_empty() && deleted.deleted_at.is_some());
    assert_eq!((deleted.id, deleted.seq, deleted.reply_to), (sent.id, Seq(2), Some(first.id)));
    assert_eq!(bob_phone.sees_change().await, deleted);
    assert_eq!(bob.sees(&conversation).await.unread_count, 2, "it still counts");
    assert_eq!(bob.sees(&conversation).await.last_message, Some(deleted.clone()));
    assert_eq!(bob.catches_up(&conversation, "").await.messages, std::slice::from_ref(&deleted));

    // Nothing of it is left in any table.
    let database = connect(stack.postgres_url()).await;
    for table in ["users", "conversations", "participants", "messages", "reactions", "read_marks", "rates"] {
        let count = format!("select count(*) from {table} as row where row::text like '%' || $1 || '%'");
        let found: i64 = database.query_one(&count, &[&reaction]).await.unwrap().get(0);
        assert_eq!(found, 0, "in {table}");
    }

    // A repeat changes nothing, and neither does taking a reaction back; the rest is refused.
    assert_eq!(alice_phone.changes(delete(&sent)).await, (deleted.clone(), Some(3)));
    assert_eq!(bob_phone.changes(take_back(&sent, reaction)).await, (deleted.clone(), Some(3)));
    let refusal = (Code::InvalidRequest, "messageId: this message is deleted".to_owned());
    assert_eq!(alice_phone.is_refused(edit(&sent, "back again")).await, refusal);
    assert_eq!(bob_phone.is_refused(react(&sent, "👍")).await, refusal);
    // The send that is repeated does not bring it back.
    let again = json!({ "conversationId": conversation, "content": secret, "clientMessageId": "one" });
    assert_eq!(Message { read_at: None, ..alice_phone.sends_message(again).await }, deleted);
    let answering = json!({ "conversationId": conversation, "content": "what was it?", "replyTo": sent.id });
    assert_eq!(bob_phone.sends_message(answering).await.reply_to, Some(sent.id));
    let page = alice.reads(&conversation, "").await;
    assert_eq!((page.last_change, page.messages.len()), (Change(3), 3));
}

#[tokio::test]
async fn its_sender_and_owners_of_the_group_delete_a_message() {
    let stack = Stack::shared();
    let (_, mut phones, group) = group(&stack, &["Olivia", "Mary", "Maurice"]).await;
    let of_owner = phones[0].says(&group, "the owner's").await;
    let of_mary = phones[1].says(&group, "Mary's").await;
    let of_maurice = phones[2].says(&group, "Maurice's").await;
    for message in [&of_owner, &of_maurice] {
        assert_eq!(phones[1].is_refused(delete(message)).await.0, Code::Forbidden);
    }
    assert!(phones[1].deletes(&of_mary).await.deleted_at.is_some());
    assert!(phones[0].deletes(&of_maurice).await.deleted_at.is_some(), "the owner may");

    let Pair { mut alice_phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    let of_alice = alice_phone.says(&conversation, "Alice's").await;
    let refused = bob_phone.is_refused(delete(&of_alice)).await;
    assert_eq!(refused.0, Code::Forbidden, "a conversation of two has no owners");
}

#[tokio::test]
async fn an_owner_deletes_only_what_they_see() {
    let stack = Stack::shared();
    let (people, mut phones, group) = group(&stack, &["Olivia", "Mary"]).await;
    let before = phones[1].says(&group, "before").await;
    let later = User::of(&stack, "Otto");
    let mut phone = later.connects().await;
    assert_eq!(people[0].adds(&group, &[&later]).await, 200);
    let path = format!("/api/conversations/{group}/participants");
    let role = json!({ "userId": later.id, "role": "owner" });
    assert_eq!(people[0].requests(reqwest::Method::PATCH, &path, Some(&role)).await.status(), 200);
    assert_eq!(phone.is_refused(delete(&before)).await.0, Code::Forbidden);
    let after = phones[1].says(&group, "after").await;
    assert!(phone.deletes(&after).await.deleted_at.is_some());
}

#[tokio::test]
async fn the_other_devices_of_who_changes_a_message_are_told() {
    let stack = Stack::shared();
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let mut laptop = people[0].connects().await;
    laptop.joins(&group).await;
    let sent = phones[0].says(&group, "hi").await;
    let edited = phones[0].edits(&sent, "hello").await;
    assert_eq!(laptop.sees_change().await, edited);
    assert!(phones[0].has_heard().await.is_empty(), "the device itself is answered only");
}

/// Who was removed and added again does not see what became of an older message, not even of their own.
#[tokio::test]
async fn a_repeated_send_does_not_tell_who_reacted_while_its_sender_was_out() {
    let stack = Stack::shared();
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let message = json!({ "conversationId": group, "content": "mine", "clientMessageId": "one" });
    let sent = phones[1].sends_message(message.clone()).await;
    assert_eq!(people[0].removes(&group, &people[1]).await, 204);
    phones[0].reacts(&sent, "👀").await;
    assert_eq!(people[0].adds(&group, &[&people[1]]).await, 200);
    assert_eq!(phones[1].sends_message(message).await, sent);
    // What it answers does not matter for a repeat.
    let again = json!({
        "conversationId": group, "content": "mine", "clientMessageId": "one", "replyTo": MessageId::new(),
    });
    assert_eq!(phones[1].sends_message(again).await, sent);
}

#[tokio::test]
async fn the_reactions_of_a_group_end_with_it() {
    let stack = Stack::shared();
    let (people, mut phones, group) = group(&stack, &["Alice"]).await;
    let sent = phones[0].says(&group, "alone").await;
    phones[0].reacts(&sent, "🍃").await;
    people[0].leaves(&group).await;
    let database = connect(stack.postgres_url()).await;
    for (table, column) in [("messages", "id"), ("reactions", "message_id")] {
        let count = format!("select count(*) from {table} where {column} = $1");
        let left: i64 = database.query_one(&count, &[&sent.id.as_uuid()]).await.unwrap().get(0);
        assert_eq!(left, 0, "in {table}");
    }
}

#[tokio::test]
async fn reactions_are_counted_and_ordered() {
    let stack = Stack::shared();
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob", "Carol"]).await;
    let [alice, bob, carol] = [0, 1, 2].map(|at: usize| people[at].id.clone());
    let sent = phones[0].says(&group, "shall we?").await;
    phones[1].reacts(&sent, "👍").await;
    phones[2].reacts(&sent, "🎉").await;
    let both = phones[0].reacts(&sent, "👍").await;
    let expected =
        [("👍".to_owned(), 2, vec![bob.clone(), alice.clone()]), ("🎉".to_owned(), 1, vec![carol.clone()])];
    assert_eq!(reactions(&both), expected);
    assert_eq!(both.change, Some(Change(4)));
    for at in [1, 2] {
        let mut latest = phones[at].sees_change().await;
        while latest.change < both.change {
            latest = phones[at].sees_change().await;
        }
        assert_eq!(latest, both);
    }
    // Each user once per reaction.
    assert_eq!(phones[1].changes(react(&sent, "👍")).await, (both.clone(), Some(4)));
    // The first who gave it takes it back: it stays in its place.
    let left = phones[1].takes_back(&sent, "👍").await;
    let expected = [("👍".to_owned(), 1, vec![alice.clone()]), ("🎉".to_owned(), 1, vec![carol.clone()])];
    assert_eq!(reactions(&left), expected);
    assert_eq!(phones[1].changes(take_back(&sent, "👍")).await, (left, Some(5)), "it is not there any more");
    // Once nobody gives it any more it comes last when it is given again.
    phones[0].takes_back(&sent, "👍").await;
    let last = phones[1].reacts(&sent, "👍").await;
    assert_eq!(reactions(&last), [("🎉".to_owned(), 1, vec![carol]), ("👍".to_owned(), 1, vec![bob])]);
    // An edit keeps them.
    assert_eq!(reactions(&phones[0].edits(&sent, "shall we go?").await), reactions(&last));
    assert_eq!(reactions(&people[1].reads(&group, "").await.messages[0]), reactions(&last));
}

#[tokio::test]
async fn a_message_has_twenty_reactions_and_shows_ten_users_of_each() {
    let stack = Stack::shared();
    let names = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L"];
    let (people, mut phones, group) = group(&stack, &names).await;
    let sent = phones[0].says(&group, "vote").await;
    let mut latest = None;
    for phone in &mut phones {
        latest = Some(phone.reacts(&sent, "x").await);
    }
    let first_ten: Vec<_> = people.iter().take(10).map(|user| user.id.clone()).collect();
    assert_eq!(reactions(&latest.unwrap()), [("x".to_owned(), 12, first_ten)]);
    let left = phones[3].takes_back(&sent, "x").await;
    let ten: Vec<_> = (0..11).filter(|at| *at != 3).map(|at: usize| people[at].id.clone()).collect();
    assert_eq!(reactions(&left), [("x".to_owned(), 11, ten)], "the next one moves up");

    for number in 1..20 {
        phones[1].reacts(&sent, &format!("number {number}")).await;
    }
    let (code, message) = phones[1].is_refused(react(&sent, "the 21st")).await;
    assert_eq!(
        (code, message.as_str()),
        (Code::InvalidRequest, "reaction: a message has at most 20 different ones")
    );
    // One of the twenty can still be given by others.
    let full = phones[2].reacts(&sent, "number 7").await;
    assert_eq!((full.reactions.len(), full.change), (20, Some(Change(34))), "the refused one took no number");
}

#[tokio::test]
async fn metadata_is_kept_byte_for_byte() {
    let stack = Stack::shared();
    let Pair { alice, mut alice_phone, bob, mut bob_phone, conversation } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    let metadata = "{ \"a\" : 1e131071,\t\"a\":-0.0, \"z\\u00e9\":[true,null,\"\\\\u0000 😀\"]}";
    alice_phone
        .sends_text(&format!(
            r#"{{"action":"send_message","conversationId":"{conversation}","content":"c",
                "metadata":{metadata}}}"#
        ))
        .await;
    // These numbers fit into no type of ours, so the text is looked at.
    let is_as_sent = |text: &str| assert!(text.contains(&format!("\"metadata\":{metadata},")), "{text}");
    is_as_sent(&alice_phone.next_text().await);
    is_as_sent(&bob_phone.next_text().await);
    let path = format!("/api/conversations/{conversation}/messages");
    is_as_sent(&bob.gets(&path).await.text().await.unwrap());
    is_as_sent(&alice.gets("/api/conversations").await.text().await.unwrap());
    let database = connect(stack.postgres_url()).await;
    let stored = "select metadata from messages where conversation_id = $1";
    let stored = database.query_one(stored, &[&conversation.parse::<Uuid>().unwrap()]).await.unwrap();
    assert_eq!(stored.get::<_, String>(0), metadata);
}

#[tokio::test]
async fn a_wrong_field_changes_nothing_and_takes_no_number() {
    let stack = Stack::shared();
    let Pair { mut alice_phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    let sent = alice_phone.says(&conversation, "right").await;
    bob_phone.receives_message().await;
    let deep = |levels: usize| {
        let text = format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let long = |bytes: usize| json!({ "a": "a".repeat(bytes - 8) });
    let wrong_metadata = [
        (json!([]), "metadata: must be a JSON object"),
        (json!("{}"), "metadata: must be a JSON object"),
        (json!(1), "metadata: must be a JSON object"),
        (long(4097), "metadata: must be at most 4096 bytes of UTF-8, not 4097"),
        (deep(33), "metadata: must have at most 32 levels of objects and arrays"),
        (json!({ "a": "\0" }), "metadata: must not contain U+0000"),
        (json!({ "a": [{ "\0": 1 }] }), "metadata: must not contain U+0000"),
    ];
    for (metadata, reason) in wrong_metadata {
        let send = json!({ "action": "send_message", "conversationId": conversation, "content": "c" });
        for mut frame in [send, edit(&sent, "wrong")] {
            frame["metadata"] = metadata.clone();
            assert_eq!(alice_phone.is_refused(frame).await, (Code::InvalidRequest, reason.to_owned()));
        }
    }
    let mut edit_with = async |field: &str, value: Value| {
        let mut frame = edit(&sent, "wrong");
        frame[field] = value;
        let (code, message) = alice_phone.is_refused(frame).await;
        assert_eq!(code, Code::InvalidRequest);
        message
    };
    assert_eq!(edit_with("messageId", json!("5")).await, "messageId: must be a UUID");
    assert_eq!(edit_with("content", json!("")).await, "content: must not be empty");
    assert_eq!(edit_with("content", json!("\0")).await, "content: must not contain U+0000");
    assert!(edit_with("content", json!("a".repeat(2001))).await.starts_with("content: must be at most 2000"));
    assert!(edit_with("ifChange", json!("1")).await.starts_with("ifChange: invalid type"));
    for (reaction, reason) in [
        (json!(""), "reaction: must not be empty"),
        (json!("é".repeat(33)), "reaction: must be at most 32 characters long, not 33"),
        (json!("\0"), "reaction: must not contain U+0000"),
        (json!("\n"), "reaction: must not be blank"),
        (json!("a\tb"), "reaction: must not contain control characters"),
    ] {
        for action in ["add_reaction", "remove_reaction"] {
            let frame = json!({ "action": action, "messageId": sent.id, "reaction": reaction });
            assert_eq!(alice_phone.is_refused(frame).await, (Code::InvalidRequest, reason.to_owned()));
        }
    }
    for (metadata, reaction) in [(long(4096), "é".repeat(32)), (deep(32), "👨‍👩‍👧‍👦".to_owned())]
    {
        let fields = json!({ "conversationId": conversation, "content": "c", "metadata": metadata });
        alice_phone.sends_message(fields).await;
        alice_phone.reacts(&sent, &reaction).await;
    }
    let last = alice_phone.edits(&sent, "right!").await;
    assert_eq!(last.change, Some(Change(3)));
    let heard = bob_phone.has_heard().await;
    assert_eq!(heard.len(), 5, "two messages, two reactions, one edit: {heard:?}");
}

#[tokio::test]
async fn a_message_that_is_not_seen_is_answered_like_an_unknown_one() {
    let stack = Stack::shared();
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let before = phones[0].says(&group, "before").await;
    let carol = User::of(&stack, "Carol");
    let mut newcomer = carol.connects().await;
    assert_eq!(people[0].adds(&group, &[&carol]).await, 200);
    let mut stranger = User::of(&stack, "Mallory").connects().await;
    let unknown = Message { id: MessageId::new(), ..before.clone() };
    let refusal = (Code::Forbidden, "messageId: no message that you see has this id".to_owned());
    for frame in [
        edit,
        |message: &Message, content: &str| {
            let _ = content;
            delete(message)
        },
        react,
        take_back,
    ] {
        assert_eq!(phones[0].is_refused(frame(&unknown, "x")).await, refusal);
        assert_eq!(newcomer.is_refused(frame(&before, "x")).await, refusal);
        assert_eq!(stranger.is_refused(frame(&before, "x")).await, refusal);
    }

    // The same of what a message answers.
    let refusal = (
        Code::InvalidRequest,
        "replyTo: no message of this conversation that you see has this id".to_owned(),
    );
    let Pair { mut alice_phone, conversation, .. } = pair(&stack).await;
    let elsewhere = alice_phone.says(&conversation, "elsewhere").await;
    let answering = |id: &MessageId| {
        let mut frame = json!({ "action": "send_message", "conversationId": group, "content": "re" });
        frame["replyTo"] = json!(id);
        frame
    };
    for id in [unknown.id, elsewhere.id] {
        assert_eq!(phones[0].is_refused(answering(&id)).await, refusal);
    }
    assert_eq!(newcomer.is_refused(answering(&before.id)).await, refusal);
    let Event::NewMessage(reply) = phones[1].asks(answering(&before.id)).await else { panic!("refused") };
    assert_eq!((reply.seq, reply.reply_to), (Seq(2), Some(before.id)), "no number was taken");
    newcomer.has_heard().await;

    // What has changed of a message that she does not see reaches her by no way.
    phones[0].edits(&before, "before all").await;
    phones[1].reacts(&before, "👀").await;
    newcomer.joins(&group).await;
    phones[0].edits(&before, "before all others").await;
    assert!(newcomer.has_heard().await.is_empty());
    let page = carol.catches_up(&group, "").await;
    assert!(page.messages.is_empty() && !page.has_more);
    assert_eq!(page.last_change, Change(5), "the numbers are the conversation's");
    // Who has left sees nothing any more.
    people[1].leaves(&group).await;
    assert_eq!(phones[1].is_refused(react(&reply, "👋")).await.0, Code::Forbidden);
    assert_eq!(people[1].gets(&format!("/api/conversations/{group}/changes")).await.status(), 403);
}

#[tokio::test]
async fn who_was_away_catches_up() {
    let stack = Stack::shared();
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let bob = &people[1];
    let mut sent = Vec::new();
    for number in 1..=5 {
        sent.push(phones[0].says(&group, &format!("{number}")).await);
    }
    let loaded = bob.reads(&group, "").await;
    assert_eq!((loaded.messages.len(), loaded.last_change), (5, Change(1)), "the group itself took one");

    // Between the page and the join: four changes of three messages, one of the group.
    phones[0].edits(&sent[1], "two").await;
    phones[0].edits(&sent[3], "four").await;
    phones[0].deletes(&sent[2]).await;
    phones[0].reacts(&sent[1], "2️⃣").await;
    let patch = json!({ "title": "Numbers" });
    let path = format!("/api/conversations/{group}");
    assert_eq!(people[0].requests(reqwest::Method::PATCH, &path, Some(&patch)).await.status(), 200);
    let mut laptop = bob.connects().await;
    assert_eq!(laptop.joins(&group).await.last_change, 6, "the join tells that there is more");
    let Event::Pong { conversations, .. } = laptop.asks(json!({ "action": "ping" })).await else {
        panic!("no pong")
    };
    assert_eq!(conversations[0].last_change, Change(6));
    assert_eq!(bob.sees(&group).await.last_change, Change(6));
    assert_eq!(bob.lists_conversations("").await.conversations[0].last_change, Change(6));

    let page = bob.catches_up(&group, "?after=1").await;
    let found: Vec<_> =
        page.messages.iter().map(|message| (message.seq.0, message.change.unwrap().0)).collect();
    assert_eq!(found, [(4, 3), (3, 4), (2, 5)], "each once, in the order of its latest change");
    assert_eq!((page.last_change, page.has_more), (Change(6), false));
    assert_eq!(page.conversation, bob.sees(&group).await);
    assert_eq!(page.conversation.title.as_deref(), Some("Numbers"));
    let mut again = bob.reads(&group, "?markRead=false").await.messages;
    again.retain(|message| message.change.is_some());
    again.sort_by_key(|message| message.change);
    assert_eq!(page.messages, again, "as they are now");

    // In pages, while changes go on.
    let first = bob.catches_up(&group, "?after=1&limit=2").await;
    assert_eq!(
        (first.messages.as_slice(), first.last_change, first.has_more),
        (&page.messages[..2], Change(4), true)
    );
    let late = phones[0].edits(&sent[3], "4").await;
    let second = bob.catches_up(&group, "?after=4&limit=2").await;
    assert_eq!(second.messages, [page.messages[2].clone(), late]);
    assert_eq!((second.last_change, second.has_more), (Change(7), false));
    let none = bob.catches_up(&group, "?after=7").await;
    assert!(none.messages.is_empty() && !none.has_more && none.last_change == Change(7));
    assert_eq!(bob.sees(&group).await.unread_count, 0);
    assert_eq!(laptop.sees_change().await.content, "4");

    for (query, reason) in [
        ("after=-1", "after: must not be negative"),
        ("after=x", "after: invalid digit found in string"),
        ("after=1&after=2", "after: must be given once"),
        ("limit=0", "limit: must be from 1 to 100"),
        ("limit=101", "limit: must be from 1 to 100"),
    ] {
        let answer = bob.gets(&format!("/api/conversations/{group}/changes?{query}")).await;
        assert_eq!(answer.status(), 400, "{query}");
        assert_eq!(answer.json::<ErrorBody>().await.unwrap().error.message, reason);
    }
    let stranger = User::of(&stack, "Mallory");
    assert_eq!(stranger.gets(&format!("/api/conversations/{group}/changes")).await.status(), 403);
    // A change marks nothing as read.
    phones[0].says(&group, "6").await;
    bob.catches_up(&group, "").await;
    assert_eq!(bob.sees(&group).await.unread_count, 1);
}

#[tokio::test]
async fn in_a_large_group_only_joined_connections_see_a_change() {
    let stack = Stack::shared();
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let mut laptop = people[1].connects().await;
    has_crowd(&stack, &group, 100).await;
    phones[1].joins(&group).await;
    let sent = phones[0].says(&group, "all of you").await;
    let edited = phones[0].edits(&sent, "everybody").await;
    assert_eq!(phones[1].sees_change().await, edited);
    assert!(laptop.has_heard().await.is_empty());
}

#[tokio::test]
async fn changes_count_as_messages() {
    let (stack, _database) = Stack::own_with(&[("MAX_MESSAGES_PER_MINUTE", "3")]).await;
    let Pair { mut alice_phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    let sent = alice_phone.says(&conversation, "one").await;
    alice_phone.edits(&sent, "two").await;
    // What changes nothing does not count.
    alice_phone.edits(&sent, "two").await;
    alice_phone.takes_back(&sent, "👍").await;
    alice_phone.reacts(&sent, "👍").await;
    for frame in [edit(&sent, "five"), take_back(&sent, "👍"), delete(&sent)] {
        let id = alice_phone.sends(frame).await;
        let Frame::Error(refused) = alice_phone.is_answered(&id).await else { panic!("it is not limited") };
        assert_eq!(refused.error.code, Code::RateLimited);
        let wait = refused.error.retry_after_ms.unwrap();
        assert!((1..=60_000).contains(&wait), "{wait}");
    }
    let refused = alice_phone.is_refused(json!({
        "action": "send_message", "conversationId": conversation, "content": "four"
    }));
    assert_eq!(refused.await.0, Code::RateLimited);
    assert_eq!(alice_phone.edits(&sent, "two").await.change, Some(Change(2)), "no change is none too many");
    assert_eq!(bob_phone.reacts(&sent, "👍").await.change, Some(Change(3)), "the others may");
}

/// A message as it has to be.
#[derive(Clone, Debug, PartialEq)]
struct Modelled {
    id: MessageId,
    sender: usize,
    content: String,
    metadata: Option<Value>,
    /// The users of each reaction, in the order in which they gave it.
    reactions: Vec<(String, Vec<usize>)>,
    is_edited: bool,
    is_deleted: bool,
    change: Option<i64>,
}

/// What a user asks for.
#[derive(Clone, Debug)]
enum Asked {
    Edit { content: String, metadata: Option<Option<Value>>, if_change: Option<Option<i64>> },
    Delete,
    React(String),
    TakeBack(String),
}

impl Asked {
    fn any(rng: &mut StdRng, message: &Modelled) -> Self {
        // Few enough that they meet, and more reactions than a message may have.
        let reaction = format!("reaction {}", rng.random_range(0..23));
        match rng.random_range(0..40) {
            0..8 => Self::Edit {
                content: format!("text {}", rng.random_range(0..3)),
                metadata: match rng.random_range(0..4) {
                    0 => Some(None),
                    1 => Some(Some(json!({ "n": rng.random_range(0..2) }))),
                    _ => None,
                },
                if_change: match rng.random_range(0..4) {
                    0 => Some(message.change),
                    1 => Some(Some(rng.random_range(0..50))),
                    _ => None,
                },
            },
            8 => Self::Delete,
            9..30 => Self::React(reaction),
            _ => Self::TakeBack(reaction),
        }
    }

    fn frame(&self, message: MessageId) -> Value {
        let mut frame = json!({ "messageId": message });
        match self {
            Self::Edit { content, metadata, if_change } => {
                frame["action"] = "edit_message".into();
                frame["content"] = content.as_str().into();
                if let Some(metadata) = metadata {
                    frame["metadata"] = json!(metadata);
                }
                if let Some(change) = if_change {
                    frame["ifChange"] = json!(change);
                }
            }
            Self::Delete => frame["action"] = "delete_message".into(),
            Self::React(reaction) => {
                frame["action"] = "add_reaction".into();
                frame["reaction"] = reaction.as_str().into();
            }
            Self::TakeBack(reaction) => {
                frame["action"] = "remove_reaction".into();
                frame["reaction"] = reaction.as_str().into();
            }
        }
        frame
    }

    /// What the message is after `user` has asked; the first user owns the group. `None` if that changes
    /// nothing.
    fn of(&self, message: &Modelled, user: usize) -> Result<Option<Modelled>, Code> {
        let mut new = message.clone();
        match self {
            Self::Edit { .. } if message.sender != user => return Err(Code::Forbidden),
            Self::Edit { if_change: Some(expected), .. } if *expected != message.change => return Ok(None),
            Self::Edit { .. } | Self::React(_) if message.is_deleted => return Err(Code::InvalidRequest),
            Self::Edit { content, metadata, .. } => {
                new.content.clone_from(content);
                if let Some(metadata) = metadata {
                    new.metadata.clone_from(metadata);
                }
                if new == *message {
                    return Ok(None);
                }
                new.is_edited = true;
            }
            Self::Delete if message.sender != user && user != 0 => return Err(Code::Forbidden),
            Self::Delete => {
                if message.is_deleted {
                    return Ok(None);
                }
                new.is_deleted = true;
                new.content.clear();
                (new.metadata, new.reactions) = (None, Vec::new());
            }
            Self::React(reaction) => match new.reactions.iter_mut().find(|(of, _)| of == reaction) {
                Some((_, users)) if users.contains(&user) => return Ok(None),
                Some((_, users)) => users.push(user),
                None if message.reactions.len() == 20 => return Err(Code::InvalidRequest),
                None => new.reactions.push((reaction.clone(), vec![user])),
            },
            Self::TakeBack(reaction) => {
                for (of, users) in &mut new.reactions {
                    users.retain(|by| of != reaction || *by != user);
                }
                new.reactions.retain(|(_, users)| !users.is_empty());
                if new == *message {
                    return Ok(None);
                }
            }
        }
        Ok(Some(new))
    }
}

/// A message as the service answers it, in the words of the model.
fn answered(message: &Message, people: &[User]) -> Modelled {
    let at = |id: &str| people.iter().position(|user| user.id == id).unwrap();
    let reactions = message.reactions.iter().map(|reaction| {
        let users: Vec<_> = reaction.user_ids.iter().map(|user| at(user.as_str())).collect();
        assert_eq!(usize::try_from(reaction.count).unwrap(), users.len());
        (reaction.reaction.as_str().to_owned(), users)
    });
    Modelled {
        id: message.id,
        sender: at(message.sender_id.as_str()),
        content: message.content.clone(),
        metadata: message.metadata.as_ref().map(|text| serde_json::from_str(text.as_str()).unwrap()),
        reactions: reactions.collect(),
        is_edited: message.edited_at.is_some(),
        is_deleted: message.deleted_at.is_some(),
        change: message.change.map(|change| change.0),
    }
}

#[tokio::test]
async fn random_changes_end_as_a_model_says() {
    let env = [("MAX_MESSAGES_PER_MINUTE", "0")];
    let (stack, _database) = Stack::own_with(&env).await;
    let (people, mut phones, group) = group(&stack, &["Olivia", "Mary", "Maurice"]).await;
    let mut rng = StdRng::seed_from_u64(20);
    let mut model = Vec::new();
    for number in 0..6 {
        let sent = phones[number % 3].says(&group, "text 0").await;
        model.push(answered(&sent, &people));
    }
    let mut last_change = 1;
    // Who has made which change.
    let mut made = BTreeMap::new();

    // One after another: each answer is what the model says.
    for _ in 0..400 {
        let (at, user) = (rng.random_range(0..model.len()), rng.random_range(0..3));
        let asked = Asked::any(&mut rng, &model[at]);
        let id = phones[user].sends(asked.frame(model[at].id)).await;
        let answer = phones[user].is_answered(&id).await;
        match (asked.of(&model[at], user), answer) {
            (Err(code), Frame::Error(error)) => assert_eq!(error.error.code, code, "{asked:?}"),
            (Ok(new), Frame::Event(Answer { event: Event::MessageChanged { message, change }, .. })) => {
                if let Some(new) = new {
                    last_change += 1;
                    made.insert(last_change, user);
                    model[at] = Modelled { change: Some(last_change), ..new };
                }
                assert_eq!(answered(&message, &people), model[at], "{asked:?} by {user}");
                assert_eq!(change.map(|change| change.0), model[at].change);
            }
            (expected, answer) => panic!("{asked:?} by {user}: {expected:?} expected, not {answer:?}"),
        }
    }
    for user in &people {
        assert_eq!(user.sees(&group).await.last_change, Change(last_change));
    }
    // What was pushed leads to the same as what is read.
    for (user, phone) in people.iter().zip(&mut phones) {
        let read = user.reads(&group, "").await.messages;
        let read: Vec<_> = read.iter().map(|message| answered(message, &people)).collect();
        assert_eq!(read, model);
        let own = made.iter().filter(|(_, by)| people[**by].id == user.id).map(|(change, _)| *change);
        let mut told: BTreeSet<_> = own.collect();
        for event in phone.has_heard().await {
            let Event::MessageChanged { message, change } = event else { continue };
            assert_eq!(message.change, change);
            assert!(told.insert(change.unwrap().0), "{change:?} is told once, and not to who made it");
            let message = answered(&message, &people);
            let at = model.iter().position(|of| of.id == message.id).unwrap();
            let is_latest = message.change == model[at].change;
            assert!(message.change <= model[at].change && is_latest == (message == model[at]));
        }
        assert_eq!(told, (2..=last_change).collect(), "every change is told");
    }

    // All at once. The numbers tell the order in which they were carried out: the model says the same.
    for _ in 0..30 {
        let mut asked = Vec::new();
        for (user, phone) in phones.iter_mut().enumerate() {
            for _ in 0..3 {
                let at = rng.random_range(0..model.len());
                let ask = Asked::any(&mut rng, &model[at]);
                asked.push((user, at, phone.sends(ask.frame(model[at].id)).await, ask));
            }
        }
        let mut done = BTreeMap::new();
        for (user, at, id, ask) in asked {
            if let Frame::Event(answer) = phones[user].is_answered(&id).await {
                let Event::MessageChanged { message, change } = answer.event else { panic!("{answer:?}") };
                let message = answered(&message, &people);
                done.entry(change.map_or(0, |change| change.0))
                    .or_insert_with(Vec::new)
                    .push((user, at, ask, message));
            }
        }
        // An answer with a number that was there before changed nothing.
        for (number, answers) in done.split_off(&(last_change + 1)) {
            assert_eq!(number, last_change + 1, "no number is left out");
            last_change = number;
            let changes = |(user, at, ask, message): &(usize, usize, Asked, Modelled)| {
                let new = ask.of(&model[*at], *user).ok()??;
                Some((*at, Modelled { change: Some(number), ..new })).filter(|(_, new)| new == message)
            };
            // Others with this number came later and changed nothing.
            let (at, new) = answers.iter().find_map(changes).expect("one of them made this change");
            assert!(answers.iter().all(|(.., message)| *message == new), "{answers:?}");
            model[at] = new;
        }
    }
    let end = people[0].sees(&group).await.last_change.0;
    assert_eq!(end, last_change);
    let read = people[0].reads(&group, "").await.messages;
    assert_eq!(read.iter().map(|message| answered(message, &people)).collect::<Vec<_>>(), model);
    let mut changed = Vec::new();
    loop {
        let after = changed.last().map_or(0, |message: &Message| message.change.unwrap().0);
        let page = people[1].catches_up(&group, &format!("?limit=4&after={after}")).await;
        changed.extend(page.messages);
        if !page.has_more {
            assert_eq!(page.last_change.0, end);
            break;
        }
    }
    let mut read = people[2].reads(&group, "").await.messages;
    read.retain(|message| message.change.is_some());
    read.sort_by_key(|message| message.change);
    assert_eq!(changed, read);
}
