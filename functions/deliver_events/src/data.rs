//! What an event is about, read when it is sent.

use domain::{Change, ConversationId, Failure, Seq, UserId};
use protocol::service::Conversation;
use protocol::webhook::{
    AboutMessage, AboutUser, ChangedParticipants, EventData, EventType, Roster, UnreadMessages,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use store::{Recorded, Store, Unread};

/// What was recorded with an event is not as its type asks for.
const CORRUPT: &str = "the statement that has recorded it gives all that its type asks for";

/// The data of an event. `None` if there is nothing to tell any more.
pub(crate) async fn read(
    store: &Store,
    kind: EventType,
    event: &Recorded,
) -> Result<Option<EventData>, Failure> {
    let conversation_id = || event.conversation.expect(CORRUPT);
    let user_id = || event.user.clone().expect(CORRUPT);
    Ok(Some(match kind {
        EventType::MessageCreated | EventType::MessageChanged => {
            let message = store.message_of(event.message.expect(CORRUPT)).await?;
            EventData::Message(AboutMessage { message: message.map(Into::into) })
        }
        EventType::MessageUnread => {
            let NotRead { up_to_seq } = details(event);
            return unread(store, conversation_id(), user_id(), up_to_seq).await;
        }
        EventType::ConversationCreated | EventType::ConversationChanged => {
            match store.outline_of(conversation_id()).await? {
                Some(outline) => EventData::Conversation(outline.into()),
                // It has ended meanwhile.
                None => EventData::Conversation(Conversation::ended(conversation_id(), Seq(0), Change(0))),
            }
        }
        EventType::ConversationEnded => {
            let Ended { last_seq, last_change } = details(event);
            EventData::Conversation(Conversation::ended(conversation_id(), last_seq, last_change))
        }
        EventType::ParticipantsChanged => {
            let roster: Roster = details(event);
            EventData::Participants(ChangedParticipants { conversation_id: conversation_id(), roster })
        }
        EventType::UserErased => EventData::User(AboutUser { user_id: user_id() }),
    }))
}

async fn unread(
    store: &Store,
    conversation_id: ConversationId,
    user_id: UserId,
    up_to: Seq,
) -> Result<Option<EventData>, Failure> {
    let unread = store.unread_of(conversation_id, &user_id, up_to).await?;
    Ok(unread.map(|Unread { count, message }| {
        EventData::Unread(UnreadMessages {
            user_id,
            conversation_id,
            up_to_seq: message.seq,
            unread_count: count,
            message: message.into(),
        })
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NotRead {
    up_to_seq: Seq,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    last_seq: Seq,
    last_change: Change,
}

fn details<T: DeserializeOwned>(event: &Recorded) -> T {
    serde_json::from_str(event.details.as_deref().expect(CORRUPT)).expect(CORRUPT)
}
