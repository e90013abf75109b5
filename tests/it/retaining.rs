//! Old messages are removed.

use std::sync::Arc;

use harness::{Database, Stack, connect};
use protocol::Code;
use protocol::webhook::EventType;
use serde_json::{Value, json};

use crate::people::{Pair, User, pair};
use crate::stand_ins::receiver::Receiver;

async fn stack_that_keeps(days: &str) -> (Arc<Stack>, Database) {
    Stack::own_with(&[("RETENTION_DAYS", days), ("MAX_MESSAGES_PER_MINUTE", "0")]).await
}

/// Makes the first messages of a conversation so many days older. Their ids tell the time too.
async fn ages(stack: &Stack, conversation: &str, up_to: i64, days: i32) {
    let database = connect(stack.postgres_url()).await;
    let age = "update messages
        set created_at = created_at - make_interval(days => $3),
            id = overlay(gen_random_uuid()::text placing left(
                uuid_at(created_at - make_interval(days => $3))::text, 14) || '7' from 1 for 15)::uuid
        where conversation_id = $1::text::uuid and seq <= $2";
    assert!(database.execute(age, &[&conversation, &up_to, &days]).await.unwrap() > 0);
    let latest = "update conversations
        set last_message_at = last_message_at - make_interval(days => $3)
        where id = $1::text::uuid and last_seq <= $2";
    database.execute(latest, &[&conversation, &up_to, &days]).await.unwrap();
    let listed = "update participants
        set active_on =
            (select (last_message_at at time zone 'UTC')::date from conversations where id = $1::text::uuid)
        where conversation_id = $1::text::uuid";
    database.execute(listed, &[&conversation]).await.unwrap();
}

/// The unread count as the positions say, and as counting does.
async fn unread(stack: &Stack, conversation: &str, user: &User) -> (i64, i64) {
    let database = connect(stack.postgres_url()).await;
    let counts = "select last_seq - read_up_to - (sent - sent_read), (
            select count(*) from messages
            where messages.conversation_id = participants.conversation_id and seq > read_up_to
              and sender_id <> user_id
        )
        from participants join conversations on conversations.id = conversation_id
        where conversation_id = $1::text::uuid and user_id = $2";
    let row = database.query_one(counts, &[&conversation, &user.id]).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn old_messages_go_and_everything_else_stays_right() {
    let (stack, _database) = stack_that_keeps("30").await;
    let Pair { alice, alice_phone: mut phone, bob, mut bob_phone, conversation } = pair(&stack).await;
    for number in 1..=10 {
        let speaker = if number % 3 == 0 { &mut bob_phone } else { &mut phone };
        speaker.says(&conversation, &format!("message {number}")).await;
        if number == 2 {
            bob.reads(&conversation, "").await;
        }
    }
    ages(&stack, &conversation, 6, 31).await;
    let aged = alice.reads(&conversation, "?markRead=false").await.messages;
    for message in [&aged[3], &aged[8]] {
        phone.reacts(message, "👍").await;
    }
    assert_eq!(stack.invokes("apply_retention").await, json!({ "removed": 6, "isDone": true }));

    let page = alice.reads(&conversation, "?markRead=false").await;
    let left: Vec<_> = page.messages.iter().map(|message| message.seq.0).collect();
    assert_eq!((left, page.first_seq.0, page.has_more), (vec![7, 8, 9, 10], 7, false));
    assert_eq!(alice.reads(&conversation, "?before=7&markRead=false").await.messages, []);
    assert_eq!(page.messages[2].reactions.len(), 1);
    for user in [&alice, &bob] {
        let (told, counted) = unread(&stack, &conversation, user).await;
        assert_eq!(told, counted, "{}", user.name);
    }
    assert_eq!(unread(&stack, &conversation, &bob).await.0, 3, "7, 8 and 10");
    assert_eq!(phone.says(&conversation, "and on").await.seq.0, 11, "the numbers go on");
    bob.reads(&conversation, "").await;
    assert_eq!(unread(&stack, &conversation, &bob).await, (0, 0));
    let read = alice.reads(&conversation, "").await;
    assert!(
        read.messages.iter().all(|message| message.read_at.is_some() || message.sender_id.as_str() == bob.id)
    );
    let gone = json!({ "action": "add_reaction", "messageId": aged[0].id, "reaction": "👍" });
    assert_eq!(phone.is_refused(gone).await.0, Code::Forbidden);
    let again = json!({
        "action": "send_message", "conversationId": conversation, "content": "a reply to what is gone",
        "replyTo": aged[0].id,
    });
    assert_eq!(phone.is_refused(again).await.0, Code::InvalidRequest);
    assert_eq!(stack.invokes("apply_retention").await, json!({ "removed": 0, "isDone": true }));
    // The name that a client gave to a message that is gone is free again.
    phone.takes_back(&aged[8], "👍").await;
    let named = json!({ "conversationId": conversation, "content": "anew", "clientMessageId": "named" });
    assert_eq!(phone.sends_message(named.clone()).await.seq.0, 12);
    assert_eq!(phone.sends_message(named.clone()).await.seq.0, 12, "a repeat");
    ages(&stack, &conversation, 12, 31).await;
    assert_eq!(stack.invokes("apply_retention").await["removed"], 6);
    assert_eq!(phone.sends_message(named).await.seq.0, 13);
}

#[tokio::test]
async fn what_was_told_as_unread_and_is_removed_is_not_told_again() {
    let receiver = Receiver::start().await;
    let env = [&receiver.env()[..], &[("RETENTION_DAYS", "3"), ("UNREAD_AFTER_SECONDS", "1")]].concat();
    let (stack, _database) = Stack::own_with(&env).await;
    let Pair { alice_phone: mut phone, conversation, .. } = pair(&stack).await;
    let told = async || {
        // Only a message that is a second old counts as unread.
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        stack.invokes("deliver_events").await;
        receiver.told_of(&conversation).iter().filter(|kind| **kind == EventType::MessageUnread).count()
    };
    phone.says(&conversation, "old").await;
    phone.says(&conversation, "new").await;
    assert_eq!(told().await, 1);
    ages(&stack, &conversation, 1, 4).await;
    assert_eq!(stack.invokes("apply_retention").await["removed"], 1);
    phone.says(&conversation, "newer").await;
    assert_eq!(told().await, 1, "they have not read meanwhile");
}

#[tokio::test]
async fn a_conversation_whose_messages_are_all_old_stays_in_the_lists() {
    let (stack, _database) = stack_that_keeps("1").await;
    let Pair { alice, alice_phone: mut phone, bob, conversation, .. } = pair(&stack).await;
    for number in 1..=3 {
        phone.says(&conversation, &format!("message {number}")).await;
    }
    let mut others = Vec::new();
    for name in ["Carol", "Dave", "Erin"] {
        let other = User::of(&stack, name);
        let _phone = other.connects().await;
        let (_, of) = alice.asks_for_conversation_with(&other).await;
        phone.says(&of, "hello").await;
        others.push(of);
    }
    ages(&stack, &conversation, 3, 5).await;
    ages(&stack, &others[0], 1, 9).await;
    let list = async |user: &User| -> Vec<String> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = user.lists_conversations(&format!("?limit=1{cursor}")).await;
            all.extend(page.conversations.iter().map(|of| of.id.to_string()));
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    };
    assert_eq!(list(&alice).await.len(), 4);
    assert_eq!(stack.invokes("apply_retention").await["removed"], 4);
    let mut listed = list(&alice).await;
    assert_eq!(listed.len(), 4, "one page at a time");
    listed.sort();
    listed.dedup();
    assert_eq!(listed.len(), 4);
    let seen = bob.sees(&conversation).await;
    assert_eq!((seen.last_message, seen.last_seq.0, seen.first_seq.0, seen.unread_count), (None, 3, 4, 0));
    assert_eq!(phone.says(&conversation, "anew").await.seq.0, 4);
    let seen = bob.sees(&conversation).await;
    assert_eq!((seen.last_message.unwrap().seq.0, seen.unread_count), (4, 1));
    assert_eq!(list(&bob).await, [conversation]);
}

#[tokio::test]
async fn who_came_later_and_who_is_behind_keep_their_counts() {
    let (stack, _database) = stack_that_keeps("7").await;
    let people = ["Alice", "Bob", "Carol", "Dave"].map(|name| User::of(&stack, name));
    let mut phones = Vec::new();
    for user in &people {
        phones.push(user.connects().await);
    }
    let [alice, bob, carol, dave] = &people;
    let group = alice.makes_group(&[bob, carol]).await;
    for number in 0..700 {
        if number == 500 {
            assert_eq!(alice.adds(&group, &[dave]).await, 200);
        }
        if number == 350 {
            bob.reads(&group, "").await;
        }
        let speaker = number % if number < 500 { 3 } else { 4 };
        phones[speaker].says(&group, &format!("message {number}")).await;
    }
    ages(&stack, &group, 600, 8).await;
    assert_eq!(stack.invokes("apply_retention").await, json!({ "removed": 600, "isDone": true }));
    for user in &people {
        let (told, counted) = unread(&stack, &group, user).await;
        assert_eq!(told, counted, "{}", user.name);
        let page = user.reads(&group, "?limit=100").await;
        assert_eq!((page.messages.len(), page.first_seq.0, page.messages[0].seq.0), (100, 601, 601));
        assert_eq!(unread(&stack, &group, user).await, (0, 0));
    }
    for phone in &mut phones {
        phone.says(&group, "still here").await;
    }
    assert_eq!(unread(&stack, &group, bob).await, (3, 3));
}

#[tokio::test]
async fn nothing_is_removed_unless_it_is_asked_for() {
    let (stack, _database) = stack_that_keeps("0").await;
    let Pair { alice, alice_phone: mut phone, conversation, .. } = pair(&stack).await;
    phone.says(&conversation, "for ever").await;
    ages(&stack, &conversation, 1, 9000).await;
    let report: Value = stack.invokes("apply_retention").await;
    assert_eq!(report, json!({ "removed": 0, "isDone": true }));
    assert_eq!(alice.reads(&conversation, "").await.messages.len(), 1);
}
