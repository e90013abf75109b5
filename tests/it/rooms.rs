//! Joining and leaving.

use protocol::{Code, Event};
use serde_json::json;

use crate::harness::Stack;
use crate::harness::database::connect;
use crate::harness::user::pair;

#[tokio::test]
async fn joining_twice_is_joining_once() {
    let stack = Stack::shared();
    let (_, mut phone, _, mut bob_phone, conversation) = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    bob_phone.joins(&conversation).await;
    let sent = phone.says(&conversation, "once").await;
    assert_eq!(bob_phone.has_received().await, [sent]);
    bob_phone.asks(json!({ "action": "leave_conversation", "conversationId": conversation })).await;
    phone.says(&conversation, "left").await;
    assert!(bob_phone.has_received().await.is_empty(), "one leave is enough");
    let again =
        bob_phone.asks(json!({ "action": "leave_conversation", "conversationId": conversation })).await;
    assert!(matches!(again, Event::LeftConversation { .. }), "and another does no harm");
}

#[tokio::test]
async fn a_join_tells_where_the_conversation_stands() {
    let stack = Stack::shared();
    let (_, mut phone, _, mut bob_phone, conversation) = pair(&stack).await;
    phone.says(&conversation, "1").await;
    phone.says(&conversation, "2").await;
    let Event::JoinedConversation { conversation_id, last_seq, .. } = bob_phone.joins(&conversation).await
    else {
        panic!("a join is answered with joined_conversation");
    };
    assert_eq!((conversation_id.to_string(), last_seq.0), (conversation, 2));
}

#[tokio::test]
async fn a_connection_joins_at_most_100_conversations() {
    let stack = Stack::shared();
    let (alice, mut phone, ..) = pair(&stack).await;
    // Made by hand: a hundred people would have to connect for it.
    let database = connect(&stack.postgres_url).await;
    let made = database
        .query(
            "with people as (
                 insert into users (id) select 'crowd-' || $1 || '-' || n from generate_series(1, 101) as n returning id
             )
             insert into conversations (id, first_user_id, second_user_id)
             select gen_random_uuid(), least($1, id collate \"C\"), greatest($1, id collate \"C\") from people
             returning id::text",
            &[&alice.id],
        )
        .await
        .unwrap();
    let conversations: Vec<String> = made.iter().map(|row| row.get(0)).collect();
    for conversation in &conversations[..100] {
        phone.joins(conversation).await;
    }
    let join = json!({ "action": "join_conversation", "conversationId": conversations[100] });
    let (code, message) = phone.is_refused(join.clone()).await;
    assert_eq!(code, Code::InvalidRequest);
    assert!(message.starts_with("conversationId: this connection has joined 100 conversations"), "{message}");
    phone.joins(&conversations[0]).await;
    phone.asks(json!({ "action": "leave_conversation", "conversationId": conversations[0] })).await;
    assert!(
        matches!(phone.asks(join).await, Event::JoinedConversation { .. }),
        "there is room for one again"
    );
}
