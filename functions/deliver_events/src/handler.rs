//! A conversation whose event is claimed is worked off: its events are sent one after the other, each of them
//! claimed when the one before it is done. Conversations do not wait for each other.
//!
//! An event is sent again if this ends between the post and the end of its claim. It is never left out: what
//! claims leave behind, the schedule finds.

use std::time::{Duration, Instant, SystemTime};

use domain::{ConversationId, Failure};
use edge::with_causes;
use futures_util::future::join_all;
use protocol::Time;
use protocol::webhook::{CloudEvent, EventType};
use serde::{Deserialize, Serialize};
use store::{Backlog, Claimant, Recorded, SetAside, Store};

use crate::data;
use crate::not_sent::NotSent;
use crate::webhook::Webhook;

/// The number of conversations that are worked off concurrently.
const CONCURRENCY: usize = 16;

/// No event is begun with after this. The next invocation goes on.
const TIME_TO_START: Duration = Duration::from_secs(40);

/// The most events in a report of what is set aside.
const MAX_SHOWN: i64 = 1000;

pub(crate) struct State {
    pub(crate) store: Store,
    /// `None` if nobody is told of events.
    pub(crate) webhook: Option<Webhook>,
    /// How long a participant has not read a message before their backend is told.
    pub(crate) unread_after: Duration,
    /// The source of all events.
    pub(crate) source: String,
}

/// What an invocation is asked for. The schedule's event has neither field.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    /// The conversation of an event that was just committed; null for an event of a user.
    #[serde(default, deserialize_with = "given")]
    conversation_id: Option<Option<ConversationId>>,
    /// What an operator asks for of the events that were set aside.
    set_aside: Option<SetAsideAction>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum SetAsideAction {
    /// Shows them.
    Show,
    /// Sends them again, out of order.
    Repeat,
}

fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// What an invocation has done.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    sent: usize,
    failed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_aside: Option<Vec<Shown>>,
}

/// An event that was set aside.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: String,
    r#type: String,
    conversation_id: Option<ConversationId>,
    time: Time,
    set_aside_at: Time,
    attempts: i32,
}

pub(crate) async fn handle(state: &State, asked: Asked) -> Result<Report, Failure> {
    let Some(webhook) = &state.webhook else { return Ok(Report::default()) };
    let store = &state.store;
    match asked {
        Asked { set_aside: Some(SetAsideAction::Show), .. } => {
            let events = store.set_aside(MAX_SHOWN).await?;
            return Ok(Report {
                set_aside: Some(events.into_iter().map(Shown::from).collect()),
                ..Report::default()
            });
        }
        Asked { set_aside: Some(SetAsideAction::Repeat), .. } => {
            store.repeat_set_aside().await?;
        }
        Asked { conversation_id: Some(Some(conversation)), .. } => {
            // The event may have been written while the one before it was sent.
            logged("waking an event", store.wake_events(Some(conversation)).await);
        }
        Asked { conversation_id: Some(None), .. } => {}
        Asked { .. } => {
            logged("noting what is unread", store.note_unread(state.unread_after).await);
            logged("waking events", store.wake_events(None).await);
            if let Some(backlog) = logged("measuring the backlog", store.backlog().await) {
                measure(backlog);
            }
        }
    }
    send_all(state, webhook).await
}

async fn send_all(state: &State, webhook: &Webhook) -> Result<Report, Failure> {
    let sending = Sending { state, webhook, by: Claimant::new(), end: Instant::now() + TIME_TO_START };
    let first = state.store.claim_events(sending.by, CONCURRENCY).await?;
    let done = join_all(first.into_iter().map(|event| sending.go_on_from(event))).await;
    let (sent, failed) = done.into_iter().fold((0, 0), |all, (sent, failed)| (all.0 + sent, all.1 + failed));
    tracing::trace!(target: "measured", events_sent = sent as u64, events_failed = failed as u64);
    Ok(Report { sent, failed, set_aside: None })
}

/// An invocation that sends events.
struct Sending<'a> {
    state: &'a State,
    webhook: &'a Webhook,
    by: Claimant,
    /// When no event is begun with any more.
    end: Instant,
}

impl Sending<'_> {
    /// Works off the conversation of an event, and then others that are due. Returns how many events were
    /// sent and failed.
    async fn go_on_from(&self, first: Recorded) -> (usize, usize) {
        let (mut sent, mut failed) = (0, 0);
        let mut next = Some(first);
        while let Some(event) = next {
            let (some_sent, some_failed) = self.work_off(event).await;
            sent += some_sent;
            failed += some_failed;
            next = match Instant::now() < self.end {
                true => self.claim_another().await,
                false => None,
            };
        }
        (sent, failed)
    }

    async fn claim_another(&self) -> Option<Recorded> {
        let claimed = self.state.store.claim_events(self.by, 1).await;
        let claimed = claimed.inspect_err(|failure| {
            tracing::error!(cause = %failure.cause, "claiming an event: {failure}");
        });
        claimed.ok()?.pop()
    }

    /// Sends the events of a conversation, until one fails or there is none. Returns how many were sent and
    /// failed.
    async fn work_off(&self, first: Recorded) -> (usize, usize) {
        let (mut sent, mut failed) = (0, 0);
        let mut next = Some(first);
        while let Some(event) = next {
            if Instant::now() >= self.end {
                // Its claim ends soon.
                break;
            }
            let was_sent = match send(self.state, self.webhook, &event).await {
                Ok(()) => {
                    sent += 1;
                    true
                }
                Err(error) => {
                    failed += 1;
                    let Recorded { id, kind, attempts, .. } = &event;
                    let cause = with_causes(&error);
                    tracing::warn!(%id, kind, attempts, cause, "event {id} was not sent");
                    false
                }
            };
            next = match self
                .state
                .store
                .end_event(self.by, &event, was_sent, Instant::now() < self.end)
                .await
            {
                Ok(next) => next,
                // Its claim ends by itself, and it is sent again.
                Err(failure) => {
                    tracing::error!(cause = %failure.cause, "ending the claim of an event: {failure}");
                    None
                }
            };
        }
        (sent, failed)
    }
}

/// Sends an event, unless there is nothing left to report.
async fn send(state: &State, webhook: &Webhook, event: &Recorded) -> Result<(), NotSent> {
    let kind = EventType::of(&event.kind).ok_or(NotSent::UnknownType)?;
    let Some(data) = data::read(&state.store, kind, event).await? else { return Ok(()) };
    let id = event.id.to_string();
    let subject = match (event.conversation, &event.user) {
        (Some(conversation), _) => conversation.to_string(),
        (None, Some(user)) => user.to_string(),
        (None, None) => return Err(NotSent::NoSubject),
    };
    let event = CloudEvent {
        specversion: "1.0".to_owned(),
        id: id.clone(),
        source: state.source.clone(),
        kind,
        subject,
        time: Time(event.created_at),
        datacontenttype: "application/json".to_owned(),
        data,
    };
    let body = serde_json::to_string(&event).expect("an event is made of strings and numbers");
    webhook.post(&id, body).await
}

/// What was done; a failure keeps no event from being sent.
fn logged<T>(what: &str, done: Result<T, Failure>) -> Option<T> {
    done.inspect_err(|failure| tracing::error!(cause = %failure.cause, "{what}: {failure}")).ok()
}

fn measure(Backlog { oldest, set_aside }: Backlog) {
    let now = SystemTime::now();
    let age = oldest.and_then(|at| now.duration_since(SystemTime::from(at)).ok()).unwrap_or_default();
    tracing::trace!(
        target: "measured",
        oldest_event_s = age.as_secs(),
        events_set_aside = u64::try_from(set_aside).unwrap_or(0),
    );
}

impl From<SetAside> for Shown {
    fn from(event: SetAside) -> Self {
        Self {
            id: event.id.to_string(),
            r#type: format!("switchboard.{}", event.kind),
            conversation_id: event.conversation,
            time: Time(event.created_at),
            set_aside_at: Time(event.set_aside_at),
            attempts: event.attempts,
        }
    }
}
