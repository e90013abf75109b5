//! Failed pushes affect no other push.

use std::time::Duration;

use futures_util::future::join_all;
use harness::{Stack, eventually};
use protocol::Code;
use serde_json::json;

use crate::people::{Client, Frame, Pair, User, pair};
use crate::stand_ins::callbacks::{Callbacks, Fate};

async fn joined(user: &User, conversation: &str, count: usize) -> Vec<Client> {
    let mut clients = join_all((0..count).map(|_| user.connects())).await;
    for client in &mut clients {
        client.joins(conversation).await;
    }
    clients
}

#[tokio::test]
async fn one_dead_and_one_stalled_receiver_do_not_delay_the_others() {
    let callbacks = Callbacks::start().await;
    let (stack, _database) = Stack::own_with(&[("PUSH_ENDPOINT", &callbacks.url)]).await;
    callbacks.pass_on_to(stack.port);
    let Pair { alice_phone: mut phone, bob, bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.closes().await;
    let mut receivers = joined(&bob, &conversation, 10).await;

    callbacks.next_have(&[Fate::Gone, Fate::Stalled]);
    let send = json!({ "action": "send_message", "conversationId": conversation, "content": "to ten" });
    let asked = phone.sends(send).await;
    // The stalled one is tried three times until the time limit. That the others are there before its second
    // try shows that they did not wait for it.
    let mut receiving: Vec<_> =
        receivers.iter_mut().map(|client| Box::pin(client.receives_message())).collect();
    for _ in 0..8 {
        let (received, _, others) = futures_util::future::select_all(receiving).await;
        assert_eq!(received.content, "to ten");
        receiving = others;
    }
    drop(receiving);
    assert_eq!(callbacks.pushes_to(Fate::Stalled), 1, "the others did not wait for it");
    callbacks.release();
    let answer = phone.is_answered(&asked).await;
    assert!(matches!(answer, Frame::Event(_)), "{answer:?}");
}

#[tokio::test]
async fn a_stalled_push_does_not_hold_the_sender_up_for_long() {
    let callbacks = Callbacks::start().await;
    let (stack, _database) = Stack::own_with(&[("PUSH_ENDPOINT", &callbacks.url)]).await;
    callbacks.pass_on_to(stack.port);
    let Pair { alice_phone: mut phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    callbacks.next_have(&[Fate::Stalled]);
    // It is answered although nobody ever releases the push: there is a time limit.
    assert_eq!(phone.says(&conversation, "into the void").await.seq.0, 1);
    assert_eq!(callbacks.pushes_to(Fate::Stalled), 3, "a push that takes too long is tried again a little");
}

#[tokio::test]
async fn too_many_requests_and_mistakes_are_tried_again_a_little() {
    let callbacks = Callbacks::start().await;
    let (stack, _database) = Stack::own_with(&[("PUSH_ENDPOINT", &callbacks.url)]).await;
    callbacks.pass_on_to(stack.port);
    let Pair { alice_phone: mut phone, bob, bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.closes().await;
    let mut receivers = joined(&bob, &conversation, 2).await;

    callbacks.next_have(&[Fate::Throttled, Fate::Throttled]);
    let sent = phone.says(&conversation, "patience").await;
    for client in &mut receivers {
        assert_eq!(client.receives_message().await, sent);
    }
    callbacks.next_have(&[Fate::Failed, Fate::Failed]);
    assert_eq!(phone.says(&conversation, "it is sent all the same").await.seq.0, 2);
    assert_eq!(callbacks.pushes_to(Fate::Failed), 2 * (2 + 3), "two before, and three tries each");

    callbacks.next_have(&[]);
    let sent = phone.says(&conversation, "and they are still there").await;
    for client in &mut receivers {
        assert_eq!(client.receives_message().await, sent);
    }
}

/// A connection counts as young for half a minute, so this takes as long.
#[tokio::test]
async fn a_dead_connection_is_forgotten_but_not_one_that_may_be_about_to_open() {
    let callbacks = Callbacks::start().await;
    let (stack, _database) = Stack::own_with(&[("PUSH_ENDPOINT", &callbacks.url)]).await;
    callbacks.pass_on_to(stack.port);
    let Pair { alice_phone: mut phone, bob, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;

    callbacks.next_have(&[Fate::Gone]);
    phone.says(&conversation, "1").await;
    let asked = callbacks.pushes_to(Fate::Gone);
    phone.says(&conversation, "2").await;
    assert_eq!(callbacks.pushes_to(Fate::Gone), asked + 1, "its $connect might still be running");
    callbacks.next_have(&[]);
    let sent = phone.says(&conversation, "3").await;
    assert_eq!(bob_phone.receives_message().await, sent, "and indeed it is there");

    // Only time makes a connection old.
    tokio::time::sleep(Duration::from_secs(31)).await;
    // API Gateway is known to do so for open connections now and then.
    callbacks.next_have(&[]);
    callbacks.has(&stack.connection_of(&bob.id).await, Fate::GoneOnce);
    let sent = phone.says(&conversation, "3.1").await;
    assert_eq!(bob_phone.receives_message().await, sent, "it is tried once more");
    let sent = phone.says(&conversation, "3.2").await;
    assert_eq!(bob_phone.receives_message().await, sent, "and not forgotten");
    callbacks.next_have(&[Fate::Gone]);
    phone.says(&conversation, "4").await;
    let asked = callbacks.pushes_to(Fate::Gone);
    phone.says(&conversation, "5").await;
    assert_eq!(callbacks.pushes_to(Fate::Gone), asked, "it is forgotten everywhere");
    callbacks.next_have(&[]);
    // Its message is committed, so it is a success; then it is told to reconnect.
    assert_eq!(bob_phone.says(&conversation, "am I here?").await.seq.0, 8);
    let Frame::Error(told) = bob_phone.receives_where(|frame| matches!(frame, Frame::Error(_))).await else {
        unreachable!()
    };
    assert_eq!((told.error.code, told.id), (Code::Unavailable, None));
    bob_phone.is_closed().await;
}

#[tokio::test]
async fn a_connection_in_its_connect_is_not_forgotten_by_a_push_that_meets_410() {
    let callbacks = Callbacks::start().await;
    let (stack, _database) = Stack::own_with(&[("PUSH_ENDPOINT", &callbacks.url)]).await;
    callbacks.pass_on_to(stack.port);
    let Pair { alice, alice_phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    // So that the function is warm.
    bob_phone.says(&conversation, "see you").await;
    alice_phone.closes().await;
    bob_phone.hears(|event| matches!(event, protocol::Event::UserOffline { .. }).then_some(())).await;

    // Bob's pushes stall, so Alice's $connect, which announces her to him, takes its time: her connection is
    // written down and not yet open.
    callbacks.next_have(&[Fate::Stalled]);
    let connecting = tokio::spawn({
        let alice = alice.clone();
        async move { alice.connects().await }
    });
    eventually("her $connect is announcing her", async || callbacks.pushes_to(Fate::Stalled) > 0).await;
    // The gateway answers 410 for her connection now.
    bob_phone.says(&conversation, "welcome").await;
    assert!(callbacks.gone() > 0, "her connection was pushed to before it was open");
    callbacks.release();
    let mut alice_phone = connecting.await.unwrap();
    alice_phone.joins(&conversation).await;
    callbacks.next_have(&[]);
    let sent = bob_phone.says(&conversation, "there you are").await;
    assert_eq!(alice_phone.receives_message().await, sent);
}
