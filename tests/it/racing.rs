//! People are added and removed while others send, join and leave. Each story forces one order.

use std::sync::Arc;

use domain::{Change, Seq};
use futures_util::future::join_all;
use harness::{Database, Stack, connect, eventually};
use protocol::{Answer, Code, Event, Message};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};

use crate::people::{Client, Frame, User};
use crate::queue::{Call, in_turn};
use crate::stand_ins::dynamodb::DynamoDb;

/// A stack whose functions reach DynamoDB through a proxy.
async fn behind_a_proxy() -> (DynamoDb, Arc<Stack>, Database) {
    let dynamodb = DynamoDb::start().await;
    let env = [("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url.as_str())];
    let (stack, database) = Stack::own_with(&env).await;
    dynamodb.pass_on_to(&stack.dynamodb_url);
    (dynamodb, stack, database)
}

/// The row of a conversation.
fn row(conversation: &str) -> String {
    format!("conversations where id = '{conversation}'")
}

/// A group of these people, the first of whom has made it, each with a phone.
async fn group(stack: &Arc<Stack>, names: &[&str]) -> (Vec<User>, Vec<Client>, String) {
    let people: Vec<_> = names.iter().map(|name| User::of(stack, name)).collect();
    let mut phones = Vec::new();
    for user in &people {
        phones.push(user.connects().await);
    }
    let others: Vec<_> = people[1..].iter().collect();
    let group = people[0].makes_group(&others).await;
    for phone in &mut phones {
        phone.hears(|event| matches!(event, Event::ParticipantsChanged { .. }).then_some(())).await;
    }
    (people, phones, group)
}

fn send(group: &str, content: &str) -> Value {
    json!({ "action": "send_message", "conversationId": group, "content": content })
}

fn removal(group: &str, by: &User, of: &User) -> Call {
    let path = format!("/api/conversations/{group}/participants?userId={}", of.id);
    Call::Request(by.clone(), Method::DELETE, path, None)
}

fn addition(group: &str, by: &User, of: &User) -> Call {
    let path = format!("/api/conversations/{group}/participants");
    Call::Request(by.clone(), Method::POST, path, Some(json!({ "userIds": [of.id] })))
}

#[tokio::test]
async fn a_send_that_waits_behind_its_senders_removal_is_not_stored() {
    let (stack, _database) = Stack::own_with(&[]).await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let calls = [removal(&group, &people[0], &people[1]), Call::Frame(1, send(&group, "too late"))];
    let [removed, sent] = in_turn(&stack, &row(&group), &mut phones, calls).await;
    assert_eq!(removed.status(), 204);
    let Frame::Error(error) = sent.frame() else { panic!("it is stored") };
    assert_eq!(error.error.code, Code::Forbidden);
    assert_eq!(phones[0].says(&group, "next").await.seq, Seq(1), "it has left no gap");
}

#[tokio::test]
async fn a_send_that_waits_behind_an_addition_tells_who_was_added() {
    let (stack, _database) = Stack::own_with(&[]).await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let carol = User::of(&stack, "Carol");
    let mut carol_phone = carol.connects().await;
    let calls = [addition(&group, &people[0], &carol), Call::Frame(1, send(&group, "welcome"))];
    let [added, sent] = in_turn(&stack, &row(&group), &mut phones, calls).await;
    assert_eq!(added.status(), 200);
    assert!(matches!(sent.frame(), Frame::Event(_)));
    let content = carol_phone
        .hears(|event| match event {
            Event::ConversationUpdated { last_message, .. } => Some(last_message.content.clone()),
            _ => None,
        })
        .await;
    assert_eq!(content, "welcome");
}

/// What others send while a send waits is not in its snapshot.
#[tokio::test]
async fn sends_that_wait_for_each_other_tell_the_right_counts() {
    let (stack, _database) = Stack::own_with(&[]).await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let mut bob_laptop = people[1].connects().await;
    let calls = [Call::Frame(1, send(&group, "Bob")), Call::Frame(0, send(&group, "Alice"))];
    for sent in in_turn(&stack, &row(&group), &mut phones, calls).await {
        assert!(matches!(sent.frame(), Frame::Event(_)));
    }
    let mut counts = Vec::new();
    for _ in 0..2 {
        let updated = |event: &Event| match event {
            Event::ConversationUpdated { last_message, unread_count, .. } => {
                Some((last_message.content.clone(), *unread_count))
            }
            _ => None,
        };
        counts.push(bob_laptop.hears(updated).await);
    }
    counts.sort();
    assert_eq!(counts, [("Alice".to_owned(), 1), ("Bob".to_owned(), 0)]);
}

#[tokio::test]
async fn of_two_owners_who_leave_at_once_one_stays() {
    let (stack, _database) = Stack::own_with(&[]).await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob", "Carol"]).await;
    let promote = json!({ "userId": people[1].id, "role": "owner" });
    let path = format!("/api/conversations/{group}/participants");
    assert_eq!(people[0].requests(reqwest::Method::PATCH, &path, Some(&promote)).await.status(), 200);
    let leaving = [&people[0], &people[1]].map(|owner| removal(&group, owner, owner));
    let left = in_turn(&stack, &row(&group), &mut phones, leaving).await;
    assert_eq!(left.map(|answer| answer.status()), [204, 400]);
    assert_eq!(people[2].sees(&group).await.participant_count, 2);
}

#[tokio::test]
async fn two_additions_at_once_do_not_pass_the_limit() {
    let (stack, _database) = Stack::own_with(&[("MAX_PARTICIPANTS", "3")]).await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let newcomers = ["Carol", "Dave"].map(|name| User::of(&stack, name));
    for newcomer in &newcomers {
        newcomer.connects().await.closes().await;
    }
    let adding = [0, 1].map(|at: usize| addition(&group, &people[0], &newcomers[at]));
    let added = in_turn(&stack, &row(&group), &mut phones, adding).await;
    assert_eq!(added.map(|answer| answer.status()), [200, 400]);
    assert_eq!(people[1].sees(&group).await.participant_count, 3);
}

#[tokio::test]
async fn a_join_that_was_allowed_before_a_removal_does_not_stay() {
    let (dynamodb, stack, _database) = behind_a_proxy().await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    dynamodb.holds_changes_by("join_conversation", &people[1].id);
    let joined = phones[1].sends(json!({ "action": "join_conversation", "conversationId": group })).await;
    eventually("the join is about to enter the room", async || dynamodb.is_holding()).await;
    assert_eq!(people[0].removes(&group, &people[1]).await, 204);
    dynamodb.lets_go();
    let Frame::Error(error) = phones[1].is_answered(&joined).await else { panic!("he is in") };
    assert_eq!(error.error.code, Code::Forbidden);
    let typing = json!({ "action": "typing_start", "conversationId": group });
    assert_eq!(phones[1].is_refused(typing).await.0, Code::Forbidden, "he is not in the room");
}

#[tokio::test]
async fn a_removal_that_did_not_empty_the_room_does_so_when_repeated() {
    let (dynamodb, stack, _database) = behind_a_proxy().await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    phones[1].joins(&group).await;
    dynamodb.refuses(Some("manage_conversations"));
    assert_eq!(people[0].removes(&group, &people[1]).await, 503, "it is not done");
    dynamodb.refuses(None);
    let typing = json!({ "action": "typing_start", "conversationId": group });
    let typed = phones[1].sends(typing.clone()).await;
    phones[0].says(&group, "he gets nothing, whatever the room says").await;
    assert!(phones[1].has_received().await.is_empty(), "{typed} is not answered: he is in the room");
    assert_eq!(people[0].removes(&group, &people[1]).await, 204);
    assert_eq!(phones[1].is_refused(typing).await.0, Code::Forbidden, "the room is empty of him");
}

#[tokio::test]
async fn a_newcomer_does_not_get_what_was_sent_before() {
    a_newcomer_comes_between_commit_and_push(0).await;
}

/// In a large group Postgres does not say who takes part.
#[tokio::test]
async fn a_newcomer_to_a_large_group_does_not_get_what_was_sent_before() {
    a_newcomer_comes_between_commit_and_push(100).await;
}

async fn a_newcomer_comes_between_commit_and_push(crowd: i32) {
    let (dynamodb, stack, _database) = behind_a_proxy().await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    crate::groups::has_crowd(&stack, &group, crowd).await;
    phones[1].joins(&group).await;
    let carol = User::of(&stack, "Carol");
    let mut carol_phone = carol.connects().await;
    dynamodb.holds_reads_by("send_message", &group);
    let sent = phones[0].sends(send(&group, "before")).await;
    eventually("the message is committed, and not pushed", async || dynamodb.is_holding()).await;
    assert_eq!(people[0].adds(&group, &[&carol]).await, 200);
    assert_eq!(carol_phone.joins(&group).await.last_seq, 1);
    dynamodb.lets_go();
    assert!(matches!(phones[0].is_answered(&sent).await, Frame::Event(_)));
    assert_eq!(phones[1].receives_message().await.content, "before");
    assert!(carol_phone.has_received().await.is_empty());
    let after = phones[0].says(&group, "after").await;
    assert_eq!(carol_phone.receives_message().await, after);
}

/// A repeat tells those who take part now. It must not tell those who take part since a later message.
#[tokio::test]
async fn a_repeated_send_does_not_reach_who_was_added_after_it() {
    let (stack, _database) = Stack::own_with(&[]).await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let [carol, dave] = ["Carol", "Dave"].map(|name| User::of(&stack, name));
    let (mut carol_phone, mut dave_phone) = tokio::join!(carol.connects(), dave.connects());
    phones[1].joins(&group).await;
    let message = json!({ "conversationId": group, "content": "before", "clientMessageId": "one" });
    let sent = phones[0].sends_message(message.clone()).await;
    assert_eq!(phones[1].receives_message().await, sent);
    assert_eq!(people[0].adds(&group, &[&carol, &dave]).await, 200);
    carol_phone.joins(&group).await;
    assert_eq!(phones[0].sends_message(message).await, sent);
    assert_eq!(phones[1].receives_message().await, sent, "who took part gets it again");
    for phone in [&mut carol_phone, &mut dave_phone] {
        let heard = phone.has_heard().await;
        let only_added =
            |event: &Event| matches!(event, Event::ParticipantsChanged { .. } | Event::UserOnline { .. });
        assert!(heard.iter().all(only_added), "{heard:?}");
    }
}

/// The room is emptied after the removal is committed. Who was added again meanwhile, and has joined, stays
/// in it.
#[tokio::test]
async fn a_removal_that_is_late_does_not_expel_who_has_come_back() {
    let (dynamodb, stack, _database) = behind_a_proxy().await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    phones[1].joins(&group).await;
    dynamodb.holds_reads_by("manage_conversations", &group);
    let (alice, bob, of) = (people[0].clone(), people[1].clone(), group.clone());
    let removing = tokio::spawn(async move { alice.removes(&of, &bob).await });
    eventually("the removal is committed", async || dynamodb.is_holding()).await;
    assert_eq!(people[0].adds(&group, &[&people[1]]).await, 200);
    phones[1].joins(&group).await;
    dynamodb.lets_go();
    assert_eq!(removing.await.unwrap(), 204);
    let sent = phones[0].says(&group, "are you still there?").await;
    assert_eq!(phones[1].receives_message().await, sent);
}

#[tokio::test]
async fn a_join_whose_answer_is_lost_leaves_nobody_in_the_room() {
    let (dynamodb, stack, _database) = behind_a_proxy().await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    dynamodb.holds_changes_by("join_conversation", &people[1].id);
    let joined = phones[1].sends(json!({ "action": "join_conversation", "conversationId": group })).await;
    eventually("the join is about to enter the room", async || dynamodb.is_holding()).await;
    assert_eq!(people[0].removes(&group, &people[1]).await, 204);
    dynamodb.loses_the_next_answer_to(&people[1].id);
    dynamodb.lets_go();
    assert!(matches!(phones[1].is_answered(&joined).await, Frame::Error(_)));
    assert!(dynamodb.has_lost() > 0);
    let typing = json!({ "action": "typing_start", "conversationId": group });
    assert_eq!(phones[1].is_refused(typing).await.0, Code::Forbidden);
}

fn changed(answer: &Frame) -> &Message {
    match answer {
        Frame::Event(Answer { event: Event::MessageChanged { message, .. }, .. }) => message,
        other => panic!("answered with {other:?}"),
    }
}

fn change(action: &str, message: &Message) -> Value {
    json!({ "action": action, "messageId": message.id, "content": action, "reaction": action })
}

#[tokio::test]
async fn of_two_reactions_at_once_both_stand_in_the_later_answer() {
    let (stack, _database) = Stack::own_with(&[]).await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let sent = phones[0].says(&group, "shall we?").await;
    let react = change("add_reaction", &sent);
    let calls = [Call::Frame(0, react.clone()), Call::Frame(1, react)];
    let answers = in_turn(&stack, &row(&group), &mut phones, calls).await;
    let reactions = |at: usize| -> Vec<_> {
        let reaction = &changed(answers[at].frame()).reactions[0];
        reaction.user_ids.iter().map(ToString::to_string).collect()
    };
    assert_eq!(reactions(0), [people[0].id.clone()]);
    assert_eq!(reactions(1), [people[0].id.clone(), people[1].id.clone()]);
    assert_eq!(
        [0, 1].map(|at: usize| changed(answers[at].frame()).change),
        [Some(Change(2)), Some(Change(3))]
    );
}

#[tokio::test]
async fn the_limit_of_reactions_holds_for_two_at_once() {
    let (stack, _database) = Stack::own_with(&[]).await;
    let (_, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let sent = phones[0].says(&group, "vote").await;
    for number in 1..20 {
        phones[0].reacts(&sent, &format!("{number}")).await;
    }
    let react =
        |reaction: &str| json!({ "action": "add_reaction", "messageId": sent.id, "reaction": reaction });
    let calls = [Call::Frame(0, react("20")), Call::Frame(1, react("21"))];
    let answers = in_turn(&stack, &row(&group), &mut phones, calls).await;
    assert_eq!(changed(answers[0].frame()).reactions.len(), 20);
    let Frame::Error(refused) = answers[1].frame() else { panic!("it has 21") };
    assert_eq!(refused.error.code, Code::InvalidRequest);
    assert_eq!(phones[1].reacts(&sent, "20").await.change, Some(Change(22)), "no number was taken");
}

#[tokio::test]
async fn an_edit_that_waits_behind_a_deletion_does_not_bring_the_message_back() {
    let (stack, _database) = Stack::own_with(&[]).await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let sent = phones[1].says(&group, "oops").await;
    let (edit, delete) = (change("edit_message", &sent), change("delete_message", &sent));
    let react = change("add_reaction", &sent);
    // The owner deletes first.
    let calls = [Call::Frame(0, delete), Call::Frame(1, edit)];
    let answers = in_turn(&stack, &row(&group), &mut phones, calls).await;
    assert_eq!(changed(answers[0].frame()).content, "");
    let Frame::Error(refused) = answers[1].frame() else { panic!("it is back") };
    assert_eq!(refused.error.code, Code::InvalidRequest);
    assert_eq!(phones[1].is_refused(react).await.0, Code::InvalidRequest);
    let page = people[1].reads(&group, "").await;
    assert_eq!(page.messages, [changed(answers[0].frame()).clone()]);
    // The other way round both happen.
    let sent = phones[1].says(&group, "oops").await;
    let calls =
        [Call::Frame(1, change("edit_message", &sent)), Call::Frame(0, change("delete_message", &sent))];
    let answers = in_turn(&stack, &row(&group), &mut phones, calls).await;
    assert_eq!(
        [0, 1].map(|at: usize| changed(answers[at].frame()).change),
        [Some(Change(3)), Some(Change(4))]
    );
    assert_eq!(people[0].reads(&group, "").await.messages[1], *changed(answers[1].frame()));
}

#[tokio::test]
async fn a_repeated_edit_that_waits_behind_another_one_does_not_undo_it() {
    let (stack, _database) = Stack::own_with(&[]).await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    phones.push(people[0].connects().await);
    let sent = phones[0].says(&group, "one").await;
    let edit = |content: &str, if_change: Option<i64>| {
        let id = sent.id;
        json!({ "action": "edit_message", "messageId": id, "content": content, "ifChange": if_change })
    };
    // Alice's phone has edited, but the answer was lost; her laptop has seen the edit and edits again.
    phones[0].changes(edit("two", None)).await;
    let calls = [Call::Frame(2, edit("three", Some(2))), Call::Frame(0, edit("two", None))];
    let answers = in_turn(&stack, &row(&group), &mut phones, calls).await;
    let [three, repeat] = [0, 1].map(|at: usize| changed(answers[at].frame()));
    assert_eq!((three.content.as_str(), three.change), ("three", Some(Change(3))));
    assert_eq!(repeat, three, "the message is answered as it is");
}

#[tokio::test]
async fn a_change_that_waits_behind_a_removal_is_refused() {
    let (stack, _database) = Stack::own_with(&[]).await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let sent = phones[1].says(&group, "mine").await;
    let calls = [removal(&group, &people[0], &people[1]), Call::Frame(1, change("edit_message", &sent))];
    let [removed, edited] = in_turn(&stack, &row(&group), &mut phones, calls).await;
    assert_eq!(removed.status(), 204);
    let Frame::Error(error) = edited.frame() else { panic!("it is edited") };
    assert_eq!(error.error.code, Code::Forbidden);
    assert_eq!(people[0].reads(&group, "").await.messages[0].content, "mine");
}

/// A send counts the message before it waits for the conversation. A change that had the conversation and
/// then counted would wait for it in a circle.
#[tokio::test]
async fn a_send_and_a_change_of_one_user_do_not_wait_in_a_circle() {
    let (stack, _database) = Stack::own_with(&[]).await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    phones.push(people[0].connects().await);
    let sent = phones[0].says(&group, "one").await;
    let send = json!({ "action": "send_message", "conversationId": group, "content": "two" });
    let react = change("add_reaction", &sent);
    let calls = [Call::Frame(0, react.clone()), Call::Frame(2, send.clone())];
    let answers = in_turn(&stack, &row(&group), &mut phones, calls).await;
    assert!(answers.iter().all(|answer| matches!(answer.frame(), Frame::Event(_))), "{answers:?}");
    let calls = [Call::Frame(0, send), Call::Frame(2, change("remove_reaction", &sent))];
    let answers = in_turn(&stack, &row(&group), &mut phones, calls).await;
    assert!(answers.iter().all(|answer| matches!(answer.frame(), Frame::Event(_))), "{answers:?}");
    let database = connect(stack.postgres_url()).await;
    // Statistics are written when a connection is idle.
    let deadlocks = "select pg_stat_force_next_flush(), deadlocks
                     from pg_stat_database where datname = current_database()";
    assert_eq!(database.query_one(deadlocks, &[]).await.unwrap().get::<_, i64>(1), 0);
}

#[tokio::test]
async fn a_newcomer_does_not_see_a_change_of_an_older_message() {
    let (dynamodb, stack, _database) = behind_a_proxy().await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    phones[1].joins(&group).await;
    let sent = phones[0].says(&group, "before").await;
    phones[1].receives_message().await;
    let carol = User::of(&stack, "Carol");
    let mut carol_phone = carol.connects().await;
    dynamodb.holds_reads_by("change_message", &group);
    let edited = phones[0].sends(change("edit_message", &sent)).await;
    eventually("the change is committed, and not pushed", async || dynamodb.is_holding()).await;
    assert_eq!(people[0].adds(&group, &[&carol]).await, 200);
    carol_phone.joins(&group).await;
    carol_phone.has_heard().await;
    dynamodb.lets_go();
    let answer = phones[0].is_answered(&edited).await;
    assert_eq!(phones[1].sees_change().await, *changed(&answer));
    assert!(carol_phone.has_heard().await.is_empty());
}

/// Two devices mark at once, and then a page of history moves the position too. Each move waits for the row
/// of the reader, who also sends meanwhile.
#[tokio::test]
async fn moves_of_one_position_wait_for_each_other_and_count_once() {
    let (stack, _database) = Stack::own_with(&[]).await;
    let (alice, bob) = (User::of(&stack, "Alice"), User::of(&stack, "Bob"));
    let mut phones = [alice.connects().await, bob.connects().await, bob.connects().await];
    let (_, conversation) = alice.asks_for_conversation_with(&bob).await;
    for number in 1..=4 {
        phones[0].says(&conversation, &format!("{number}")).await;
        phones[1].says(&conversation, &format!("and {number}")).await;
    }
    let bobs_row =
        format!("participants where conversation_id = '{conversation}' and user_id = '{}'", bob.id);
    let mark =
        |up_to: i64| json!({ "action": "mark_read", "conversationId": conversation, "upToSeq": up_to });
    let page = format!("/api/conversations/{conversation}/messages");
    let calls = [
        Call::Frame(1, mark(3)),
        Call::Frame(2, mark(2)),
        Call::Request(bob.clone(), Method::GET, page, None),
        Call::Frame(1, send(&conversation, "and what of this?")),
    ];
    let [first, second, page, sent] = in_turn(&stack, &bobs_row, &mut phones, calls).await;
    for answer in [first, second, sent] {
        assert!(matches!(answer.frame(), Frame::Event(_)));
    }
    assert_eq!(page.status(), 200);
    assert_eq!(page.body()["messages"].as_array().unwrap().len(), 8, "as it was before it waited");
    assert_eq!(bob.sees(&conversation).await.unread_count, 0);
    // Of Alice's messages each was read at one time, the later ones not before the earlier ones.
    let page = alice.reads(&conversation, "?markRead=false").await.messages;
    let times: Vec<_> =
        page.iter().filter(|of| of.sender_id.as_str() == alice.id).map(|of| of.read_at).collect();
    assert!(times.iter().all(Option::is_some) && times.is_sorted_by_key(|at| at.map(|at| at.0)), "{times:?}");
    let marks = connect(stack.postgres_url()).await;
    let places = "select up_to_seq from read_marks where user_id = $1 order by up_to_seq";
    let places: Vec<i64> =
        marks.query(places, &[&bob.id]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(places == [3, 8] || places == [2, 3, 8], "{places:?}");
}

/// Several people send and read at once while one after another is removed and added again. What the rows say
/// is unread has to agree with a recount of the messages, and everybody sees one stretch of them.
#[tokio::test]
async fn unread_counts_stay_exact_while_people_come_and_go() {
    let env = [("MAX_CONVERSATIONS_PER_MINUTE", "0"), ("MAX_MESSAGES_PER_MINUTE", "0")];
    let (stack, _database) = Stack::own_with(&env).await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob", "Carol", "Dave", "Erin"]).await;
    let database = connect(stack.postgres_url()).await;
    let mut rng = StdRng::seed_from_u64(19);
    let mut is_in = [true; 5];
    for round in 0..12 {
        // What is sent now races with what happens to the participants.
        let mut asked = Vec::new();
        for (at, phone) in phones.iter_mut().enumerate() {
            for step in 0..rng.random_range(1..5) {
                let frame = match rng.random_range(0..4) {
                    0 | 1 => json!({ "action": "send_message", "conversationId": group,
                        "content": format!("{round} {at} {step}") }),
                    2 => json!({ "action": "mark_read", "conversationId": group }),
                    _ => json!({ "action": "mark_read", "conversationId": group,
                        "upToSeq": rng.random_range(0..60) }),
                };
                asked.push((at, frame.clone(), phone.sends(frame).await));
            }
        }
        let changes = (1..5).filter(|_| rng.random_bool(0.4)).collect::<Vec<usize>>();
        let changing = join_all(changes.iter().map(async |at| match is_in[*at] {
            true => assert_eq!(people[0].removes(&group, &people[*at]).await, 204),
            false => assert_eq!(people[0].adds(&group, &[&people[*at]]).await, 200),
        }));
        let reading = people[0].reads(&group, "?limit=1");
        tokio::join!(changing, reading);
        for at in changes {
            is_in[at] = !is_in[at];
        }
        for (at, frame, mut id) in asked {
            loop {
                match phones[at].is_answered(&id).await {
                    Frame::Event(_) => break,
                    // A send that lost every race against changes of the participants, or took too long.
                    Frame::Error(error) if error.error.retryable => {
                        id = phones[at].sends(frame.clone()).await;
                    }
                    Frame::Error(error) => {
                        assert_eq!(error.error.code, Code::Forbidden, "{error:?}");
                        break;
                    }
                    Frame::Gateway(frame) => panic!("{frame}"),
                }
            }
        }
        let rows = database
            .query(
                "select user_id, last_seq - read_up_to - (sent - sent_read), first_seq, last_seq,
                        (select count(*) from messages where seq > read_up_to and sender_id <> user_id),
                        (select count(*) from messages), (select max(seq) from messages),
                        participant_count, count(*) over ()
                 from participants join conversations on id = conversation_id",
                &[],
            )
            .await
            .unwrap();
        assert_eq!(rows.len(), is_in.iter().filter(|is_in| **is_in).count(), "round {round}");
        for row in rows {
            let user: String = row.get(0);
            let number = |at: usize| row.get::<_, i64>(at);
            assert_eq!(number(1), number(4), "of {user} in round {round}");
            assert_eq!(
                (number(3), row.get::<_, Option<i64>>(6).unwrap_or(0)),
                (number(5), number(5)),
                "no gap"
            );
            assert_eq!(i64::from(row.get::<_, i32>(7)), number(8), "as many as are counted");
            let one = people.iter().find(|one| one.id == user).unwrap();
            assert_eq!(one.sees(&group).await.unread_count, number(1));
            let page = one.reads(&group, "?after=0&limit=100&markRead=false").await;
            let seqs: Vec<_> = page.messages.iter().map(|message| message.seq.0).collect();
            let upto = number(3).min(number(2) + 99);
            assert_eq!(seqs, (number(2)..=upto).collect::<Vec<_>>(), "{user} sees one stretch");
        }
    }
}
