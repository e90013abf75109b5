//! Typing.

use harness::Stack;
use protocol::{Code, Event};
use serde_json::json;

use crate::people::{Client, Frame, Pair, pair};

async fn types(client: &mut Client, action: &str, conversation: &str) {
    client.sends(json!({ "action": action, "conversationId": conversation })).await;
}

#[tokio::test]
async fn the_others_who_joined_see_it() {
    let stack = Stack::shared();
    let Pair { alice, alice_phone: mut phone, bob, mut bob_phone, conversation } = pair(&stack).await;
    let (mut laptop, mut bob_tv) = tokio::join!(alice.connects(), bob.connects());
    for client in [&mut phone, &mut laptop, &mut bob_phone] {
        client.joins(&conversation).await;
    }
    let typing = |event: &Event| match event {
        Event::UserTyping { user_id, conversation_id, expires_in_ms } => {
            Some((user_id.as_str().to_owned(), conversation_id.to_string(), *expires_in_ms))
        }
        _ => None,
    };
    let stopped = |event: &Event| match event {
        Event::UserStoppedTyping { user_id, conversation_id } => {
            Some((user_id.as_str().to_owned(), conversation_id.to_string()))
        }
        _ => None,
    };
    types(&mut phone, "typing_start", &conversation).await;
    for client in [&mut laptop, &mut bob_phone] {
        assert_eq!(client.hears(typing).await, (alice.id.clone(), conversation.clone(), 6000));
    }
    types(&mut phone, "typing_stop", &conversation).await;
    for client in [&mut laptop, &mut bob_phone] {
        assert_eq!(client.hears(stopped).await, (alice.id.clone(), conversation.clone()));
    }
    for client in [&mut phone, &mut bob_tv] {
        let heard = client.has_heard().await;
        assert!(!heard.iter().any(|event| typing(event).is_some() || stopped(event).is_some()), "{heard:?}");
    }
}

#[tokio::test]
async fn who_has_not_joined_or_makes_no_sense_is_told_over_the_callback() {
    let stack = Stack::shared();
    let Pair { alice_phone: mut phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    let start = |conversation: &str| json!({ "action": "typing_start", "conversationId": conversation });
    assert_eq!(phone.is_refused(start(&conversation)).await.0, Code::Forbidden);
    let (code, message) = phone.is_refused(start("nonsense")).await;
    assert_eq!((code, message.as_str()), (Code::InvalidRequest, "conversationId: must be a UUID"));
    assert!(bob_phone.has_heard().await.iter().all(|event| !matches!(event, Event::UserTyping { .. })));

    phone.joins(&conversation).await;
    phone.asks(json!({ "action": "leave_conversation", "conversationId": conversation })).await;
    assert_eq!(phone.is_refused(start(&conversation)).await.0, Code::Forbidden, "it has left");
}

#[tokio::test]
async fn an_expired_token_types_nothing() {
    let stack = Stack::shared();
    let Pair { alice, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    let mut claims = alice.claims();
    claims["exp"] = harness::seconds_from_now(-10).into();
    let mut phone = Client::connect(&stack, &alice.token_with(&claims)).await.unwrap();
    types(&mut phone, "typing_start", &conversation).await;
    let Frame::Error(told) = phone.receives_where(|frame| matches!(frame, Frame::Error(_))).await else {
        unreachable!()
    };
    assert_eq!(told.error.code, Code::TokenExpired);
    phone.is_closed().await;
}
