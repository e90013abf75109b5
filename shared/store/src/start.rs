//! What the start of a process prepares, before its first event.

use std::time::Duration;

use domain::Failure;

use crate::changes::{CHANGE_MESSAGE, LOCK_CONVERSATION_OF};
use crate::conversations::{CONVERSATIONS_OF, FIND_OR_CREATE, HEADS_OF, PARTICIPATION_OF};
use crate::history::{MARK_READ, READ_HISTORY};
use crate::pool::Store;
use crate::query::Prepare;
use crate::send::SEND_MESSAGE;
use crate::users::{CONTACTS_OF, WELCOME};

/// The time limit of opening a connection and preparing statements when a process starts. It is less than
/// that of `edge::warm_up`.
const WARM_UP_TIMEOUT: Duration = Duration::from_millis(400);

/// What a process uses the store for with each event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// `Store::change_message`.
    ChangeMessage,
    /// `Store::contacts_of`.
    ContactsOf,
    /// `Store::conversations_of`.
    ConversationsOf,
    /// `Store::find_or_create_conversation`.
    FindOrCreate,
    /// `Store::heads_of`.
    HeadsOf,
    /// `Store::mark_read`.
    MarkRead,
    /// `Store::participation_of`.
    ParticipationOf,
    /// `Store::read_history`.
    ReadHistory,
    /// `Store::send_message`.
    SendMessage,
    /// `Store::welcome`.
    Welcome,
    /// One method or another.
    Any,
}

impl Use {
    /// The statements of the method.
    fn statements(self) -> &'static [&'static dyn Prepare] {
        match self {
            Self::ChangeMessage => const { &[&LOCK_CONVERSATION_OF, &CHANGE_MESSAGE] },
            Self::ContactsOf => const { &[&CONTACTS_OF] },
            Self::ConversationsOf => const { &[&CONVERSATIONS_OF] },
            Self::FindOrCreate => const { &[&FIND_OR_CREATE] },
            Self::HeadsOf => const { &[&HEADS_OF] },
            Self::MarkRead => const { &[&MARK_READ] },
            Self::ParticipationOf => const { &[&PARTICIPATION_OF] },
            Self::ReadHistory => const { &[&READ_HISTORY] },
            Self::SendMessage => const { &[&SEND_MESSAGE] },
            Self::Welcome => const { &[&WELCOME] },
            Self::Any => &[],
        }
    }
}

impl Store {
    /// Opens a connection and prepares the statements of a use, for the first event: see `edge::warm_up`.
    ///
    /// # Errors
    ///
    /// Postgres did not answer in time, or not as it should.
    pub async fn warm_up(&self, for_use: Use) -> Result<(), Failure> {
        self.prepare(for_use.statements(), WARM_UP_TIMEOUT).await
    }
}
