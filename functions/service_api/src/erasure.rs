//! Erases a user in small steps, each of which can be repeated. What is left to do is found in the tables, so
//! an erasure that was interrupted goes on where it was, whoever repeats the request.

use std::time::{Duration, Instant};

use domain::UserId;
use edge::Error;
use edge::http::StatusCode;
use protocol::rest::Done;
use store::{Actor, Pace, Whereabouts};

use crate::answer::Answer;
use crate::conversations::remove;
use crate::state::State;
use crate::users;

/// No step is begun with after this.
const TIME_TO_START: Duration = Duration::from_secs(8);

pub(crate) async fn erase(state: &State, user: &UserId) -> Result<(StatusCode, Answer), Error> {
    let began = Instant::now();
    // First, so that nothing of theirs is added meanwhile.
    users::revoke(state, user).await?;
    let is_done = erase_until(state, user, began + TIME_TO_START).await?;
    let status = if is_done { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Answer::Done(Done {})))
}

/// Returns whether nothing is left.
async fn erase_until(state: &State, user: &UserId, end: Instant) -> Result<bool, Error> {
    let store = &state.store;
    let is_late = || Instant::now() > end;
    let mut pace = Pace::default();
    store.begin_erasure(user).await?;
    loop {
        let places = store.whereabouts_of(user).await?;
        if places.is_empty() {
            break;
        }
        for Whereabouts { conversation, takes_part } in places {
            if takes_part {
                remove(state, conversation, user, Actor::Erasure).await?;
            }
            // Nobody else is in some of them, which end.
            while store.delete_some_of_ended(conversation, &mut pace).await? {
                if is_late() {
                    return Ok(false);
                }
            }
            while store.erase_messages(conversation, user, &mut pace).await? {
                if is_late() {
                    return Ok(false);
                }
            }
            // What comes after an event that was erased is not held up.
            state.deliveries.start(Some(conversation)).await;
            if is_late() {
                return Ok(false);
            }
        }
    }
    loop {
        let conversations = store.reacted_in(user).await?;
        if conversations.is_empty() {
            break;
        }
        for conversation in conversations {
            while store.erase_reactions(conversation, user, &mut pace).await? {
                if is_late() {
                    return Ok(false);
                }
            }
        }
    }
    // The sweep announces first that they are offline, if that is left to do.
    if !state.announcer.connections.erase(user).await? {
        return Ok(false);
    }
    store.end_erasure(user).await?;
    state.deliveries.start(None).await;
    Ok(true)
}
