//! People are added and removed while others send, join and leave. Each story forces one order.

use std::sync::Arc;

use domain::Seq;
use futures_util::future::join_all;
use harness::{Database, Stack, connect, eventually};
use protocol::{Code, Event};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio_postgres::Client as Postgres;

use crate::people::{Client, Frame, User};
use crate::stand_ins::dynamodb::DynamoDb;

/// A stack whose functions reach DynamoDB through a proxy.
async fn behind_a_proxy() -> (DynamoDb, Arc<Stack>, Database) {
    let dynamodb = DynamoDb::start().await;
    let env = [("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url.as_str())];
    let (stack, database) = Stack::own_with(&env).await;
    dynamodb.pass_on_to(&stack.dynamodb_url);
    (dynamodb, stack, database)
}

/// Locks the row of a conversation until the connection is dropped or commits.
async fn lock(stack: &Stack, group: &str) -> Postgres {
    let lock = connect(stack.postgres_url()).await;
    lock.batch_execute(&format!("begin; select from conversations where id = '{group}' for update"))
        .await
        .unwrap();
    lock
}

/// Waits until so many statements wait for a lock. The database belongs to this story alone.
async fn are_waiting(stack: &Stack, count: i64) {
    let database = connect(stack.postgres_url()).await;
    eventually("statements wait for the lock", async || {
        let waiting = "select count(*) from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'";
        database.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == count
    })
    .await;
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

async fn send(phone: &mut Client, group: &str, content: &str) -> String {
    let frame = json!({ "action": "send_message", "conversationId": group, "content": content });
    phone.sends(frame).await
}

#[tokio::test]
async fn a_send_that_waits_behind_its_senders_removal_is_not_stored() {
    let (stack, _database) = Stack::own_with(&[]).await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let locked = lock(&stack, &group).await;
    let (alice, bob) = (people[0].clone(), people[1].clone());
    let removing = tokio::spawn({
        let group = group.clone();
        async move { alice.removes(&group, &bob).await }
    });
    are_waiting(&stack, 1).await;
    let sent = send(&mut phones[1], &group, "too late").await;
    are_waiting(&stack, 2).await;
    locked.batch_execute("commit").await.unwrap();
    assert_eq!(removing.await.unwrap(), 204);
    let Frame::Error(error) = phones[1].is_answered(&sent).await else { panic!("it is stored") };
    assert_eq!(error.error.code, Code::Forbidden);
    assert_eq!(phones[0].says(&group, "next").await.seq, Seq(1), "it has left no gap");
}

#[tokio::test]
async fn a_send_that_waits_behind_an_addition_tells_who_was_added() {
    let (stack, _database) = Stack::own_with(&[]).await;
    let (people, mut phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let carol = User::of(&stack, "Carol");
    let mut carol_phone = carol.connects().await;
    let locked = lock(&stack, &group).await;
    let (alice, newcomer) = (people[0].clone(), carol.clone());
    let adding = tokio::spawn({
        let group = group.clone();
        async move { alice.adds(&group, &[&newcomer]).await }
    });
    are_waiting(&stack, 1).await;
    let sent = send(&mut phones[1], &group, "welcome").await;
    are_waiting(&stack, 2).await;
    locked.batch_execute("commit").await.unwrap();
    assert_eq!(adding.await.unwrap(), 200);
    assert!(matches!(phones[1].is_answered(&sent).await, Frame::Event(_)));
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
    let locked = lock(&stack, &group).await;
    let first = send(&mut phones[1], &group, "Bob").await;
    are_waiting(&stack, 1).await;
    let second = send(&mut phones[0], &group, "Alice").await;
    are_waiting(&stack, 2).await;
    locked.batch_execute("commit").await.unwrap();
    assert!(matches!(phones[1].is_answered(&first).await, Frame::Event(_)));
    assert!(matches!(phones[0].is_answered(&second).await, Frame::Event(_)));
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
    let (people, _phones, group) = group(&stack, &["Alice", "Bob", "Carol"]).await;
    let promote = json!({ "userId": people[1].id, "role": "owner" });
    let path = format!("/api/conversations/{group}/participants");
    assert_eq!(people[0].requests(reqwest::Method::PATCH, &path, Some(&promote)).await.status(), 200);
    let locked = lock(&stack, &group).await;
    let leaving = [0, 1].map(|at: usize| {
        let (user, group) = (people[at].clone(), group.clone());
        tokio::spawn(async move { user.removes(&group, &user).await })
    });
    are_waiting(&stack, 2).await;
    locked.batch_execute("commit").await.unwrap();
    let mut statuses = Vec::new();
    for left in leaving {
        statuses.push(left.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 400]);
    assert_eq!(people[2].sees(&group).await.participant_count, 2);
}

#[tokio::test]
async fn two_additions_at_once_do_not_pass_the_limit() {
    let (stack, _database) = Stack::own_with(&[("MAX_PARTICIPANTS", "3")]).await;
    let (people, _phones, group) = group(&stack, &["Alice", "Bob"]).await;
    let newcomers = ["Carol", "Dave"].map(|name| User::of(&stack, name));
    for newcomer in &newcomers {
        newcomer.connects().await.closes().await;
    }
    let locked = lock(&stack, &group).await;
    let adding = newcomers.map(|newcomer| {
        let (alice, group) = (people[0].clone(), group.clone());
        tokio::spawn(async move { alice.adds(&group, &[&newcomer]).await })
    });
    are_waiting(&stack, 2).await;
    locked.batch_execute("commit").await.unwrap();
    let mut statuses = Vec::new();
    for added in adding {
        statuses.push(added.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
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
    let sent = send(&mut phones[0], &group, "before").await;
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
