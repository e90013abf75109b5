//! Groups: people are added and removed, and see what is theirs to see.

use std::sync::Arc;

use domain::{Change, Role, Seq};
use harness::{Stack, connect};
use protocol::rest::{Conversation, Kind, ParticipantPage};
use protocol::{Code, ErrorBody, Event};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::people::{Client, Pair, User, pair};

/// What changed of the participants: who was added and removed, the roles, how many there are, and the
/// change.
#[derive(Debug, PartialEq, Eq)]
struct Roster {
    added: Vec<String>,
    removed: Vec<String>,
    roles: Vec<(String, Role)>,
    count: i32,
    change: i64,
}

fn roster(event: &Event) -> Option<Roster> {
    match event {
        Event::ParticipantsChanged { added, removed, roles, participant_count, last_change, .. } => {
            Some(Roster {
                added: added.iter().map(ToString::to_string).collect(),
                removed: removed.iter().map(ToString::to_string).collect(),
                roles: roles.iter().map(|of| (of.user_id.to_string(), of.role)).collect(),
                count: *participant_count,
                change: last_change.0,
            })
        }
        _ => None,
    }
}

fn updated(event: &Event) -> Option<(String, i64)> {
    match event {
        Event::ConversationUpdated { last_message, unread_count, .. } => {
            Some((last_message.content.clone(), *unread_count))
        }
        _ => None,
    }
}

/// Three people, each connected with a phone, and a group that the first has made.
struct Three {
    alice: User,
    bob: User,
    carol: User,
    phones: [Client; 3],
    group: String,
}

async fn three(stack: &Arc<Stack>) -> Three {
    let people = ["Alice", "Bob", "Carol"].map(|name| User::of(stack, name));
    let mut phones = [people[0].connects().await, people[1].connects().await, people[2].connects().await];
    let group = people[0].makes_group(&[&people[1], &people[2]]).await;
    for phone in &mut phones {
        assert_eq!(phone.hears(roster).await.count, 3);
    }
    let [alice, bob, carol] = people;
    Three { alice, bob, carol, phones, group }
}

async fn refused(user: &User, method: Method, path: &str, body: Option<Value>) -> (u16, String) {
    let answer = user.requests(method, path, body.as_ref()).await;
    let status = answer.status().as_u16();
    let body: ErrorBody = answer.json().await.expect("an error has a body");
    (status, body.error.message)
}

async fn participants(user: &User, group: &str, query: &str) -> ParticipantPage {
    let answer = user.gets(&format!("/api/conversations/{group}/participants{query}")).await;
    assert_eq!(answer.status(), 200);
    answer.json().await.expect("it answers as the protocol says")
}

fn at(group: &str) -> String {
    format!("/api/conversations/{group}")
}

fn participants_of(group: &str) -> String {
    format!("/api/conversations/{group}/participants")
}

#[tokio::test]
async fn a_group_is_made_and_all_in_it_are_told() {
    let stack = Stack::shared();
    let [alice, bob, carol] = ["Alice", "Bob", "Carol"].map(|name| User::of(&stack, name));
    let (mut alice_phone, mut bob_phone, mut carol_phone) =
        tokio::join!(alice.connects(), bob.connects(), carol.connects());
    let body = json!({
        "title": "Holidays",
        "avatarUrl": "https://example.com/beach.png",
        // Herself, and somebody twice: each takes part once.
        "participantIds": [bob.id, carol.id, bob.id, alice.id],
        "clientConversationId": "holidays",
    });
    let answer = alice.posts("/api/conversations", &body).await;
    assert_eq!(answer.status(), 201);
    let made: Conversation = answer.json().await.unwrap();
    assert_eq!((made.kind, made.role, made.participant_count), (Kind::Group, Role::Owner, 3));
    assert_eq!(made.title.as_deref(), Some("Holidays"));
    assert_eq!(made.avatar_url.as_deref(), Some("https://example.com/beach.png"));
    assert_eq!((made.first_seq, made.last_seq, made.last_change), (Seq(1), Seq(0), Change(1)));
    assert_eq!((&made.other_user, &made.last_message, made.unread_count), (&None, &None, 0));
    let mut all = [&alice, &bob, &carol].map(|user| user.id.clone());
    all.sort();
    for client in [&mut alice_phone, &mut bob_phone, &mut carol_phone] {
        let mut heard = client.hears(roster).await;
        heard.added.sort();
        heard.roles.sort_by(|one, other| one.0.cmp(&other.0));
        let roles = all.clone().map(|user| {
            let role = if user == alice.id { Role::Owner } else { Role::Member };
            (user, role)
        });
        let expected =
            Roster { added: all.to_vec(), removed: vec![], roles: roles.to_vec(), count: 3, change: 1 };
        assert_eq!(heard, expected);
    }

    let again = alice.posts("/api/conversations", &body).await;
    assert_eq!(again.status(), 200, "a repeat finds it");
    assert_eq!(again.json::<Conversation>().await.unwrap(), made);
    assert!(bob_phone.has_heard().await.is_empty(), "and tells nobody again");
    let bobs = json!({ "title": "Bob's", "participantIds": [], "clientConversationId": "holidays" });
    let bobs = bob.posts("/api/conversations", &bobs).await;
    assert_eq!(bobs.status(), 201, "the client's name is the creator's own");

    let id = made.id.to_string();
    let seen = bob.sees(&id).await;
    assert_eq!(seen.role, Role::Member);
    assert_eq!(Conversation { role: Role::Owner, ..seen.clone() }, made);
    let listed = bob.lists_conversations("").await.conversations;
    assert!(listed.contains(&seen), "the list says the same: {listed:?}");
    assert_eq!(carol.lists_conversations("").await.conversations.len(), 1);
    let Event::Pong { conversations, .. } = carol_phone.asks(json!({ "action": "ping" })).await else {
        panic!("no pong")
    };
    assert_eq!(conversations.len(), 1);
    assert_eq!((conversations[0].conversation_id, conversations[0].last_change), (made.id, Change(1)));
}

#[tokio::test]
async fn messages_go_to_all_and_each_counts_what_they_have_not_read() {
    let stack = Stack::shared();
    let Three { bob, carol, phones: [mut alice_phone, mut bob_phone, mut carol_phone], group, .. } =
        three(&stack).await;
    let joined = bob_phone.joins(&group).await;
    assert_eq!((joined.last_seq, joined.online_user_ids.len()), (0, 3));
    let sent = alice_phone.says(&group, "one").await;
    assert_eq!(bob_phone.receives_message().await, sent);
    assert_eq!(carol_phone.hears(updated).await, ("one".to_owned(), 1));
    bob_phone.says(&group, "two").await;
    assert_eq!(carol_phone.hears(updated).await, ("two".to_owned(), 2));
    assert_eq!(alice_phone.hears(updated).await, ("two".to_owned(), 1), "her own is not unread");
    assert_eq!(carol.sees(&group).await.unread_count, 2);
    assert_eq!(bob.sees(&group).await.unread_count, 1);

    // Who reads tells only their own devices, and the participants say how far everybody is.
    let mut carol_laptop = carol.connects().await;
    let mark = json!({ "action": "mark_read", "conversationId": group, "upToSeq": 1 });
    let Event::MessagesRead { up_to_seq, .. } = carol_phone.asks(mark).await else { panic!("not answered") };
    assert_eq!(up_to_seq, Seq(1));
    let read = |event: &Event| matches!(event, Event::MessagesRead { .. }).then_some(());
    carol_laptop.hears(read).await;
    assert!(alice_phone.has_heard().await.iter().all(|event| read(event).is_none()));
    assert_eq!(carol.sees(&group).await.unread_count, 1);
    let page = participants(&bob, &group, "").await;
    let positions: Vec<_> =
        page.participants.iter().map(|one| (one.user.display_name.clone(), one.read_up_to_seq.0)).collect();
    let of = |name: &str, seq| (Some(name.to_owned()), seq);
    assert_eq!(positions, [of("Alice", 0), of("Bob", 0), of("Carol", 1)]);

    let page = bob.reads(&group, "?markRead=false").await;
    assert!(page.messages.iter().all(|message| message.read_at.is_none()), "in groups nothing is read at");
    assert_eq!(bob.sees(&group).await.unread_count, 1, "looking around reads nothing");
    bob.reads(&group, "?limit=1").await;
    assert_eq!(bob.sees(&group).await.unread_count, 0, "any other page reads all");
}

#[tokio::test]
async fn who_is_added_sees_what_comes_after() {
    let stack = Stack::shared();
    let Three { alice, bob, carol, phones: [mut alice_phone, ..], group } = three(&stack).await;
    let before = alice_phone.says(&group, "before").await;
    let dave = User::of(&stack, "Dave");
    let mut dave_phone = dave.connects().await;
    assert_eq!(alice.adds(&group, &[&dave, &bob]).await, 200, "who is in stays as they are");
    let expected = Roster {
        added: vec![dave.id.clone()],
        removed: vec![],
        roles: vec![(dave.id.clone(), Role::Member)],
        count: 4,
        change: 2,
    };
    assert_eq!(dave_phone.hears(roster).await, expected);
    assert_eq!(alice_phone.hears(roster).await, expected);

    let seen = dave.sees(&group).await;
    assert_eq!((seen.first_seq, seen.last_seq, seen.unread_count), (Seq(2), Seq(1), 0));
    assert_eq!((&seen.last_message, seen.last_message_at), (&None, None));
    assert_eq!(dave.lists_conversations("").await.conversations, [seen]);
    let page = dave.reads(&group, "").await;
    assert_eq!((page.messages.len(), page.has_more, page.first_seq), (0, false, Seq(2)));
    let joined = dave_phone.joins(&group).await;
    assert_eq!(joined.last_seq, 1);

    let after = alice_phone.says(&group, "after").await;
    assert_eq!(dave_phone.receives_message().await, after);
    for query in ["", "?after=0", "?after=1", "?before=99", "?before=3"] {
        let page = dave.reads(&group, query).await;
        assert_eq!((page.messages, page.has_more), (vec![after.clone()], false), "{query}");
    }
    for query in ["?before=1", "?before=2", "?after=2", "?after=99"] {
        let page = dave.reads(&group, query).await;
        assert_eq!((page.messages.len(), page.has_more), (0, false), "{query}");
    }
    let path = format!("/api/conversations/{group}/messages?before={}", before.id);
    let (status, message) = refused(&dave, Method::GET, &path, None).await;
    assert_eq!(status, 400, "{message}");
    // Who was there sees both, and pages by numbers as by ids.
    for query in ["?after=0&limit=1", "?before=2"] {
        assert_eq!(carol.reads(&group, query).await.messages, std::slice::from_ref(&before), "{query}");
    }
    let nothing = alice.posts(&participants_of(&group), &json!({ "userIds": [dave.id] })).await;
    assert_eq!(nothing.json::<Value>().await.unwrap(), json!({ "participantCount": 4 }));
    let heard = dave_phone.has_heard().await;
    assert!(heard.iter().all(|event| roster(event).is_none()), "what changes nothing is not told: {heard:?}");
    assert_eq!(dave.sees(&group).await.last_change, Change(2));
}

#[tokio::test]
async fn who_is_removed_gets_nothing_any_more_and_may_come_back() {
    let stack = Stack::shared();
    let Three { alice, bob, phones: [mut alice_phone, mut bob_phone, mut carol_phone], group, .. } =
        three(&stack).await;
    bob_phone.joins(&group).await;
    bob_phone.says(&group, "I was here").await;
    assert_eq!(alice.removes(&group, &bob).await, 204);
    let expected =
        Roster { added: vec![], removed: vec![bob.id.clone()], roles: vec![], count: 2, change: 2 };
    for phone in [&mut alice_phone, &mut bob_phone, &mut carol_phone] {
        assert_eq!(phone.hears(roster).await, expected);
    }
    assert_eq!(alice.removes(&group, &bob).await, 204, "also when repeated");
    assert!(alice_phone.has_heard().await.iter().all(|event| roster(event).is_none()), "but told once");

    alice_phone.says(&group, "without Bob").await;
    assert!(bob_phone.has_heard().await.is_empty());
    let send = json!({ "action": "send_message", "conversationId": group, "content": "let me in" });
    assert_eq!(bob_phone.is_refused(send).await.0, Code::Forbidden);
    let repeat = json!({ "action": "join_conversation", "conversationId": group });
    assert_eq!(bob_phone.is_refused(repeat).await.0, Code::Forbidden);
    let typing = json!({ "action": "typing_start", "conversationId": group });
    assert_eq!(bob_phone.is_refused(typing).await.0, Code::Forbidden, "the room is empty of him");
    assert!(bob.lists_conversations("").await.conversations.is_empty());
    for path in [at(&group), participants_of(&group), format!("{}/messages", at(&group))] {
        assert_eq!(refused(&bob, Method::GET, &path, None).await.0, 403, "{path}");
    }

    assert_eq!(alice.adds(&group, &[&bob]).await, 200);
    assert_eq!(bob.sees(&group).await.first_seq, Seq(3));
    assert_eq!(bob.sees(&group).await.unread_count, 0);
    bob_phone.joins(&group).await;
    let back = alice_phone.says(&group, "welcome back").await;
    assert_eq!(bob_phone.receives_message().await, back);
    assert_eq!(bob.reads(&group, "").await.messages, [back], "not what was before, nor his own");
}

#[tokio::test]
async fn owners_change_the_group_and_others_do_not() {
    let stack = Stack::shared();
    let Three { alice, bob, carol, phones: [_alice_phone, mut bob_phone, _carol_phone], group } =
        three(&stack).await;
    let change = async |user: &User, body: Value| {
        let answer = user.requests(Method::PATCH, &at(&group), Some(&body)).await;
        assert_eq!(answer.status(), 200);
        answer.json::<Conversation>().await.unwrap()
    };
    let changed = |event: &Event| match event {
        Event::ConversationChanged { title, avatar_url, participant_count, last_change, .. } => {
            Some((title.clone().unwrap(), avatar_url.clone(), *participant_count, last_change.0))
        }
        _ => None,
    };
    let answer = change(&alice, json!({ "title": "Hikers", "avatarUrl": "https://example.com/a.png" })).await;
    assert_eq!((answer.title.as_deref(), answer.last_change), (Some("Hikers"), Change(2)));
    let avatar = || Some("https://example.com/a.png".to_owned());
    assert_eq!(bob_phone.hears(changed).await, ("Hikers".to_owned(), avatar(), 3, 2));
    assert_eq!(change(&alice, json!({ "title": "Hikers" })).await, answer, "the same title takes no change");
    assert_eq!(change(&alice, json!({})).await, answer, "nor does nothing");
    assert!(bob_phone.has_heard().await.is_empty());
    assert_eq!(change(&alice, json!({ "avatarUrl": null })).await.avatar_url, None);
    assert_eq!(bob_phone.hears(changed).await, ("Hikers".to_owned(), None, 3, 3));

    let dave = User::of(&stack, "Dave");
    dave.connects().await.closes().await;
    let forbidden = |message: &str| (403, message.to_owned());
    for (user, message) in [
        (&bob, "conversationId: only its owners may do this"),
        (&dave, "conversationId: no conversation of yours has this id"),
    ] {
        let body = |body: Value| Some(body);
        let title = refused(user, Method::PATCH, &at(&group), body(json!({ "title": "Mine" }))).await;
        assert_eq!(title, forbidden(message));
        let add = body(json!({ "userIds": [dave.id] }));
        assert_eq!(refused(user, Method::POST, &participants_of(&group), add).await, forbidden(message));
        let role = body(json!({ "userId": user.id, "role": "owner" }));
        assert_eq!(refused(user, Method::PATCH, &participants_of(&group), role).await, forbidden(message));
        let remove = format!("{}?userId={}", participants_of(&group), carol.id);
        assert_eq!(refused(user, Method::DELETE, &remove, None).await, forbidden(message));
    }
    assert_eq!(
        dave.removes(&group, &dave).await,
        204,
        "who does not take part may leave, and learns nothing"
    );
    assert_eq!(dave.removes(&Uuid::now_v7().to_string(), &dave).await, 204);
    assert_eq!(bob.sees(&group).await.last_change, Change(3), "all of that has changed nothing");
}

#[tokio::test]
async fn a_group_keeps_an_owner_until_its_end() {
    let stack = Stack::shared();
    let Three { alice, bob, carol, phones: [_alice_phone, mut bob_phone, mut carol_phone], group } =
        three(&stack).await;
    carol_phone.says(&group, "gone with all of us").await;
    let set_role = async |user: &User, other: &User, role: &str| {
        let body = json!({ "userId": other.id, "role": role });
        user.requests(Method::PATCH, &participants_of(&group), Some(&body)).await.status().as_u16()
    };
    let only_owner = (
        400,
        "userId: the only owner cannot stop being one while others take part: make another one owner first"
            .to_owned(),
    );
    let leave = format!("{}?userId={}", participants_of(&group), alice.id);
    assert_eq!(refused(&alice, Method::DELETE, &leave, None).await, only_owner);
    let demote = Some(json!({ "userId": alice.id, "role": "member" }));
    assert_eq!(refused(&alice, Method::PATCH, &participants_of(&group), demote).await, only_owner);

    assert_eq!(set_role(&alice, &bob, "owner").await, 200);
    let heard = bob_phone.hears(roster).await;
    assert_eq!((heard.roles, heard.change), (vec![(bob.id.clone(), Role::Owner)], 2));
    assert_eq!(set_role(&alice, &bob, "owner").await, 200, "again");
    assert_eq!(bob.sees(&group).await.last_change, Change(2), "which changes nothing");
    assert_eq!(set_role(&bob, &alice, "member").await, 200);
    assert_eq!(alice.sees(&group).await.role, Role::Member);
    alice.leaves(&group).await;
    alice.leaves(&group).await;
    assert_eq!(bob.removes(&group, &carol).await, 204);
    bob.leaves(&group).await;
    let database = connect(stack.postgres_url()).await;
    for table in
        ["conversations where id", "messages where conversation_id", "participants where conversation_id"]
    {
        let sql = format!("select count(*) from {table} = $1");
        let left: i64 = database.query_one(&sql, &[&group.parse::<Uuid>().unwrap()]).await.unwrap().get(0);
        assert_eq!(left, 0, "{table}");
    }
    bob.leaves(&group).await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_name_and_changes_nothing() {
    let stack = Stack::shared();
    let Three { alice, bob, group, phones: _phones, .. } = three(&stack).await;
    let nobody = format!("nobody-{}", Uuid::new_v4());
    let many: Vec<_> = (0..101).map(|n| format!("user-{n}")).collect();
    let title = |length: usize| "é".repeat(length);
    let (post, patch, delete, get) = (Method::POST, Method::PATCH, Method::DELETE, Method::GET);
    let create = "/api/conversations".to_owned();
    let (group_path, roster_path) = (at(&group), participants_of(&group));
    let say = |status: u16, message: &str| (status, message.to_owned());
    let cases = [
        (&post, &create, json!({ "participantIds": [] }), say(400, "missing field `title`")),
        (&post, &create, json!({ "title": "T" }), say(400, "missing field `participantIds`")),
        (&post, &create, json!({ "title": "", "participantIds": [] }), say(400, "title: must not be empty")),
        (&post, &create, json!({ "title": " ", "participantIds": [] }), say(400, "title: must not be blank")),
        (
            &post,
            &create,
            json!({ "title": title(201), "participantIds": [] }),
            say(400, "title: must be at most 200 characters long, not 201"),
        ),
        (
            &post,
            &create,
            json!({ "title": "a\0", "participantIds": [] }),
            say(400, "title: must not contain U+0000"),
        ),
        (
            &post,
            &create,
            json!({ "title": "T", "participantIds": many }),
            say(400, "participantIds: must be at most 100 users, not 101"),
        ),
        (
            &post,
            &create,
            json!({ "title": "T", "participantIds": [""] }),
            say(400, "participantIds[0]: must not be empty"),
        ),
        (
            &post,
            &create,
            json!({ "title": "T", "participantIds": [bob.id, nobody] }),
            (404, format!("participantIds: there is no user {nobody}")),
        ),
        (
            &post,
            &create,
            json!({ "title": "T", "participantIds": [], "clientConversationId": title(65) }),
            say(400, "clientConversationId: must be at most 64 characters long, not 65"),
        ),
        (
            &post,
            &create,
            json!({ "title": "T", "participantIds": [], "avatarUrl": "x".repeat(1001) }),
            say(400, "avatarUrl: must be at most 1000 characters long, not 1001"),
        ),
        (&patch, &group_path, json!({ "title": "" }), say(400, "title: must not be empty")),
        (&patch, &group_path, json!({ "avatarUrl": "" }), say(400, "avatarUrl: must not be empty")),
        (&post, &roster_path, json!({ "userIds": [] }), say(400, "userIds: must not be empty")),
        (
            &post,
            &roster_path,
            json!({ "userIds": many }),
            say(400, "userIds: must be at most 100 users, not 101"),
        ),
        (
            &post,
            &roster_path,
            json!({ "userIds": [nobody] }),
            (404, format!("userIds: there is no user {nobody}")),
        ),
        (
            &patch,
            &roster_path,
            json!({ "userId": bob.id, "role": "king" }),
            say(400, "role: unknown variant `king`, expected `owner` or `member`"),
        ),
        (
            &patch,
            &roster_path,
            json!({ "userId": nobody, "role": "owner" }),
            say(404, "userId: this user does not take part"),
        ),
        (&delete, &roster_path, json!({}), say(400, "userId: is missing")),
        (&delete, &format!("{roster_path}?userId="), json!({}), say(400, "userId: must not be empty")),
        (&get, &format!("{roster_path}?limit=0"), json!({}), say(400, "limit: must be from 1 to 100")),
        (&get, &"/api/conversations/x".to_owned(), json!({}), say(400, "conversationId: must be a UUID")),
    ];
    for (method, path, body, expected) in cases {
        assert_eq!(
            refused(&alice, method.clone(), path, Some(body.clone())).await,
            expected,
            "{path} {body}"
        );
    }
    assert_eq!(alice.sees(&group).await.last_change, Change(1));
    assert_eq!(alice.lists_conversations("").await.conversations.len(), 1);
    assert_eq!(
        alice.posts(&create, &json!({ "title": title(200), "participantIds": [] })).await.status(),
        201
    );

    // A conversation of two stays one.
    let Pair { alice, bob, conversation, alice_phone: _alice_phone, bob_phone: _bob_phone } =
        pair(&stack).await;
    let direct = say(400, "conversationId: a conversation of two has no title, owners or others");
    let roster_path = participants_of(&conversation);
    let title = Some(json!({ "title": "Us" }));
    assert_eq!(refused(&alice, Method::PATCH, &at(&conversation), title).await, direct);
    let add = Some(json!({ "userIds": [bob.id] }));
    assert_eq!(refused(&alice, Method::POST, &roster_path, add).await, direct);
    let role = Some(json!({ "userId": bob.id, "role": "owner" }));
    assert_eq!(refused(&alice, Method::PATCH, &roster_path, role).await, direct);
    let leave = format!("{roster_path}?userId={}", alice.id);
    assert_eq!(refused(&alice, Method::DELETE, &leave, None).await, direct);
    let seen = alice.sees(&conversation).await;
    assert_eq!((seen.kind, seen.role, seen.participant_count), (Kind::Direct, Role::Member, 2));
    assert!(seen.other_user.as_ref().unwrap().online);
    assert_eq!((seen.title, seen.avatar_url), (None, None));
    assert_eq!(participants(&alice, &conversation, "").await.participants.len(), 2);
}

#[tokio::test]
async fn participants_come_page_by_page() {
    let stack = Stack::shared();
    let Three { alice, bob, carol, phones: [_alice_phone, bob_phone, _carol_phone], group } =
        three(&stack).await;
    bob_phone.closes().await;
    harness::eventually("Bob is away", async || {
        !participants(&alice, &group, "").await.participants.iter().all(|one| one.online)
    })
    .await;
    let mut ids = Vec::new();
    let mut query = "?limit=1".to_owned();
    loop {
        let page = participants(&carol, &group, &query).await;
        for one in page.participants {
            assert_eq!(one.online, one.user.id.as_str() != bob.id);
            assert_eq!(one.last_seen_at.is_some(), one.user.id.as_str() == bob.id);
            assert_eq!(one.role == Role::Owner, one.user.id.as_str() == alice.id);
            ids.push(one.user.id.to_string());
        }
        match page.next_cursor {
            Some(cursor) => query = format!("?limit=1&cursor={cursor}"),
            None => break,
        }
    }
    let mut all = vec![alice.id.clone(), bob.id.clone(), carol.id.clone()];
    all.sort();
    assert_eq!(ids, all);
    assert!(participants(&alice, &group, "?cursor=zzzz").await.participants.is_empty());
}

#[tokio::test]
async fn there_are_limits_to_groups() {
    let env = [("MAX_PARTICIPANTS", "3"), ("MAX_CONVERSATIONS_PER_MINUTE", "4")];
    let (stack, _database) = Stack::own_with(&env).await;
    let Three { alice, bob, carol, group, phones: _phones } = three(&stack).await;
    let dave = User::of(&stack, "Dave");
    dave.connects().await.closes().await;
    let add = || Some(json!({ "userIds": [dave.id, bob.id] }));
    let too_many = (400, "userIds: a conversation has at most 3 participants".to_owned());
    assert_eq!(refused(&alice, Method::POST, &participants_of(&group), add()).await, too_many);
    let large = Some(json!({ "title": "T", "participantIds": [bob.id, carol.id, dave.id] }));
    let too_many = (400, "participantIds: a conversation has at most 3 participants".to_owned());
    assert_eq!(refused(&alice, Method::POST, "/api/conversations", large).await, too_many);
    assert_eq!(alice.removes(&group, &carol).await, 204);
    assert_eq!(alice.adds(&group, &[&dave]).await, 200, "the third that counts");
    let both = Some(json!({ "title": "T", "participantIds": [bob.id, dave.id] }));
    let (status, message) = refused(&alice, Method::POST, "/api/conversations", both).await;
    assert_eq!((status, message.as_str()), (429, "4 new participants a minute are enough: wait a little"));
    alice.makes_group(&[&bob]).await;
    assert_eq!(alice.adds(&group, &[&carol]).await, 400, "there is no room, whatever the minute");
    assert_eq!(alice.removes(&group, &dave).await, 204);
    assert_eq!(alice.adds(&group, &[&carol]).await, 429);
    assert_eq!(bob.asks_for_conversation_with(&dave).await.0, 201, "everybody has a minute of their own");
}

/// Adds `count` users who were never connected, directly, since that many would take long to connect.
pub(crate) async fn has_crowd(stack: &Stack, group: &str, count: i32) {
    let database = connect(stack.postgres_url()).await;
    let crowd = format!(
        "with people as (
             insert into users (id)
             select 'crowd-{group}-' || n from generate_series(1, {count}) as n returning id
         ), added as (
             insert into participants (conversation_id, user_id) select '{group}', id from people
         )
         update conversations set participant_count = participant_count + {count}, roster = roster + 1
         where id = '{group}'"
    );
    database.batch_execute(&crowd).await.unwrap();
}

#[tokio::test]
async fn in_a_large_group_only_those_who_joined_are_told() {
    let stack = Stack::shared();
    let Three { alice, bob, phones: [mut alice_phone, mut bob_phone, mut carol_phone], group, .. } =
        three(&stack).await;
    // Bob joins while it is small, and stays in its room.
    bob_phone.joins(&group).await;
    has_crowd(&stack, &group, 77).await;
    alice_phone.says(&group, "80 of us").await;
    assert_eq!(carol_phone.hears(updated).await.0, "80 of us", "as many as are all told");
    bob_phone.receives_message().await;

    let dave = User::of(&stack, "Dave");
    let mut dave_phone = dave.connects().await;
    assert_eq!(alice.adds(&group, &[&dave]).await, 200);
    assert_eq!(dave_phone.hears(roster).await.count, 81, "who is added is told");
    assert_eq!(bob_phone.hears(roster).await.count, 81, "and who has joined");
    assert!(carol_phone.has_heard().await.is_empty(), "the others are not");
    let joined = dave_phone.joins(&group).await;
    assert_eq!((joined.last_seq, joined.online_user_ids), (1, vec![dave.id.clone()]));
    alice_phone.joins(&group).await;

    let sent = alice_phone.says(&group, "81 of us").await;
    for phone in [&mut bob_phone, &mut dave_phone] {
        assert_eq!(phone.receives_message().await, sent);
    }
    assert!(carol_phone.has_heard().await.is_empty());
    let Event::Pong { conversations, .. } = carol_phone.asks(json!({ "action": "ping" })).await else {
        panic!("no pong")
    };
    assert_eq!(
        (conversations[0].last_seq, conversations[0].last_change),
        (Seq(2), Change(2)),
        "a pong tells"
    );
    alice_phone.sends(json!({ "action": "typing_start", "conversationId": group })).await;
    for phone in [&mut alice_phone, &mut bob_phone, &mut dave_phone] {
        assert!(phone.has_heard().await.is_empty(), "nobody is told who types");
    }
    // Presence audiences leave it out.
    bob.connects().await.closes().await;
    assert!(dave_phone.has_heard().await.is_empty());

    // Now Bob joins while it is large.
    bob_phone.asks(json!({ "action": "leave_conversation", "conversationId": group })).await;
    let sent = alice_phone.says(&group, "Bob looks elsewhere").await;
    assert_eq!(dave_phone.receives_message().await, sent);
    assert!(bob_phone.has_received().await.is_empty());
    bob_phone.joins(&group).await;

    assert_eq!(alice.removes(&group, &dave).await, 204);
    assert_eq!(dave_phone.hears(roster).await.removed, [dave.id]);
    // With one person less it is small again, and who joined before still gets its messages.
    assert_eq!(bob.sees(&group).await.participant_count, 80);
    let sent = alice_phone.says(&group, "without Dave").await;
    assert!(dave_phone.has_heard().await.is_empty());
    assert_eq!(bob_phone.has_received().await, [sent]);
    assert_eq!(carol_phone.hears(updated).await.0, "without Dave");
}

#[tokio::test]
async fn the_first_message_of_a_day_comes_first_in_every_list() {
    let stack = Stack::shared();
    let Three { alice, bob, carol, phones: [mut alice_phone, ..], group } = three(&stack).await;
    let other = bob.makes_group(&[&alice, &carol]).await;
    // As if the first group had been quiet since the day before yesterday.
    let database = connect(stack.postgres_url()).await;
    for sql in [
        "update conversations set created_at = created_at - interval '2 days' where id = $1",
        "update participants set joined_at = joined_at - interval '2 days', active_on = active_on - 2
         where conversation_id = $1",
    ] {
        database.execute(sql, &[&group.parse::<Uuid>().unwrap()]).await.unwrap();
    }
    let listed = async |user: &User| -> Vec<String> {
        let mut ids = Vec::new();
        let mut query = "?limit=1".to_owned();
        loop {
            let page = user.lists_conversations(&query).await;
            ids.extend(page.conversations.iter().map(|one| one.id.to_string()));
            match page.next_cursor {
                Some(cursor) => query = format!("?limit=1&cursor={cursor}"),
                None => break,
            }
        }
        ids
    };
    for user in [&alice, &bob, &carol] {
        assert_eq!(listed(user).await, [other.clone(), group.clone()], "of {}", user.name);
    }
    alice_phone.says(&group, "good morning").await;
    for user in [&alice, &bob, &carol] {
        assert_eq!(listed(user).await, [group.clone(), other.clone()], "of {}", user.name);
    }
}

#[tokio::test]
async fn positions_never_go_back() {
    let stack = Stack::shared();
    let Three { bob, phones: [mut alice_phone, mut bob_phone, _carol_phone], group, .. } =
        three(&stack).await;
    for number in 1..=4 {
        alice_phone.says(&group, &format!("{number}")).await;
        bob_phone.says(&group, &format!("and {number}")).await;
    }
    let unread = async |up_to: i64| {
        let mark = json!({ "action": "mark_read", "conversationId": group, "upToSeq": up_to });
        assert!(matches!(bob_phone.asks(mark).await, Event::MessagesRead { .. }));
        bob.sees(&group).await.unread_count
    };
    let mut unread = unread;
    for (up_to, expected) in [(0, 4), (3, 2), (1, 2), (4, 2), (5, 1), (99, 0), (2, 0)] {
        assert_eq!(unread(up_to).await, expected, "after marking up to {up_to}");
    }
}
