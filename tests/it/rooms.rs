//! Joining and leaving conversations.

use harness::{Stack, connect, eventually};
use protocol::{Code, Event};
use serde_json::json;

use crate::people::{Pair, pair};

#[tokio::test]
async fn joining_twice_is_joining_once() {
    let stack = Stack::shared();
    let Pair { alice_phone: mut phone, mut bob_phone, conversation, .. } = pair(&stack).await;
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
    let Pair { alice_phone: mut phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    phone.says(&conversation, "1").await;
    phone.says(&conversation, "2").await;
    let joined = bob_phone.joins(&conversation).await;
    assert_eq!((joined.conversation_id, joined.last_seq), (conversation, 2));
}

#[tokio::test]
async fn a_connection_joins_at_most_100_conversations() {
    let stack = Stack::shared();
    let Pair { alice, alice_phone: mut phone, .. } = pair(&stack).await;
    // Inserted directly, since a hundred users would have to connect.
    let database = connect(stack.postgres_url()).await;
    let made = database
        .query(
            "with people as (
                 insert into users (id) select 'crowd-' || $1 || '-' || n from generate_series(1,
                   101) as n returning id
             ), made as (
                 insert into conversations (id, first_user_id, second_user_id)
                 select gen_random_uuid(), least($1, id collate \"C\"), greatest($1, id collate \"C\")
                 from people
                 returning id
             )
             insert into participants (conversation_id, user_id) select id, $1 from made
             returning conversation_id::text",
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

/// All items of the table, from DynamoDB itself.
async fn table(stack: &Stack) -> String {
    let scan = reqwest::Client::new()
        .post(&stack.dynamodb_url)
        .header("x-amz-target", "DynamoDB_20120810.Scan")
        .header("content-type", "application/x-amz-json-1.0")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, \
                Signature=a",
        )
        .header("x-amz-date", "20260101T000000Z")
        .body(json!({ "TableName": "Connections" }).to_string());
    let answer = scan.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    answer.text().await.unwrap()
}

#[tokio::test]
async fn nothing_is_left_of_a_connection_that_has_closed() {
    let (stack, _database) = Stack::own_with(&[]).await;
    let Pair { alice, alice_phone: mut phone, bob_phone, conversation, .. } = pair(&stack).await;
    phone.joins(&conversation).await;
    let before = table(&stack).await;
    assert_eq!(before.matches("CONN#").count(), 2);
    // Her own item, that of her connection, and that of the conversation.
    assert_eq!(before.matches(&alice.id).count(), 3, "{before}");
    phone.closes().await;
    bob_phone.closes().await;
    eventually("no connection is written down", async || !table(&stack).await.contains("CONN#")).await;
    let after = table(&stack).await;
    assert_eq!(after.matches(&alice.id).count(), 1, "only when she was last seen: {after}");
}
