//! A client that follows the documentation: it repeats what was not answered, drops duplicates, fetches what
//! it misses, and renews its lease.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use protocol::rest::{Changes, ConversationPage, MessagePage};
use protocol::{Code, Event, Message};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use reqwest::Response;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_tungstenite::tungstenite;

use super::guests::Group;
use super::world::{LEASE, NEIGHBOURS, SECOND_DEVICE, USERS, World};
use crate::people::{Client, Frame};

/// After this a frame without an answer is sent again.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

const PING_EVERY: Duration = Duration::from_secs(LEASE.as_secs() / 4);

/// The time limit of everything that has to succeed after the trouble.
const CALM_PATIENCE: Duration = Duration::from_secs(60);

/// How many conversations are joined at once, and the pause before the next.
const JOINS_AT_ONCE: usize = 3;
const PAUSE_OF_JOINS: Duration = Duration::from_millis(200);

/// The pause between two actions.
const PAUSE: std::ops::Range<u64> = 200..600;

/// A message on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) sender: String,
    /// Empty once it is deleted.
    pub(super) content: String,
    /// The users of each reaction.
    pub(super) reactions: Vec<(String, Vec<String>)>,
    /// The latest change, 0 before the first.
    pub(super) change: i64,
}

/// A message that is to be sent, until it is answered.
#[derive(Debug)]
struct Outgoing {
    conversation: String,
    client_message_id: String,
    next_try: Instant,
}

/// What happened to the device.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) sent_again: usize,
    pub(super) sent_twice: usize,
    pub(super) refused: usize,
    pub(super) gateway_errors: usize,
    pub(super) cut: usize,
    pub(super) connected: usize,
    pub(super) told_again: usize,
    pub(super) gaps: usize,
    pub(super) fetched: usize,
    pub(super) kept_out: usize,
    pub(super) unleased: usize,
    pub(super) changes: usize,
    pub(super) changed: usize,
    pub(super) changes_fetched: usize,
}

/// A phone or a laptop of a user.
#[derive(Debug)]
pub(super) struct Device {
    world: Arc<World>,
    rng: StdRng,
    pub(super) user: usize,
    pub(super) name: String,
    /// The user's conversations of two, with the other user of each.
    pub(super) conversations: BTreeMap<String, usize>,
    /// The user's groups, with the ids of all who are ever in each.
    pub(super) groups: BTreeMap<String, BTreeSet<String>>,
    /// Conversations of others.
    foreign: Vec<String>,
    /// The messages of each conversation, in order and without gaps.
    pub(super) has: BTreeMap<String, Vec<Seen>>,
    /// The latest `seq` of each conversation that the device knows of.
    heard_of: BTreeMap<String, usize>,
    /// The change of each conversation up to which the device has all changes, and the latest it knows of.
    changes: BTreeMap<String, (i64, i64)>,
    /// The time after which each message with its content was pushed to the device last.
    pub(super) read: HashMap<String, Instant>,
    /// When the device last found no frame. A frame may wait while the device fetches something.
    nothing_came_until: Instant,
    /// When the device heard of the deletion of each message, as an answer or a push.
    pub(super) deleted: HashMap<String, Instant>,
    outgoing: Option<Outgoing>,
    /// The conversation, the `seq` and the id of the message of each send that was acknowledged.
    pub(super) acknowledged: BTreeMap<String, (String, usize, String)>,
    /// The conversation of each message that the device tried to send.
    pub(super) tried: BTreeMap<String, String>,
    /// The presence of contacts as announced, with the version.
    pub(super) online: HashMap<String, (u64, bool)>,
    connection: Option<Client>,
    joined: BTreeSet<String>,
    /// When each join was asked for that is not answered yet.
    joining: BTreeMap<String, Instant>,
    next_ping: Instant,
    next_join: Instant,
    /// The number of pings sent, which is also the id of the last one.
    pings: usize,
    /// The last ping that was answered.
    ponged: usize,
    last_ping: Instant,
    /// When the lease ends, as far as the device knows.
    leased_until: Instant,
    /// Whether the lease had ended since the last list: announcements may have been missed.
    was_unleased: bool,
    pub(super) counts: Counts,
    /// What must not happen, but did.
    pub(super) wrong: Vec<String>,
}

impl Device {
    /// All devices of all users. Each knows the ids of all conversations.
    pub(super) async fn all(world: &Arc<World>, groups: &[Group], seed: u64) -> Vec<Self> {
        // A user has to have connected once.
        let known = join_all((0..USERS).map(async |n| world.user(n).connects().await)).await;
        let mut conversations = vec![BTreeMap::new(); USERS];
        for one in 0..USERS {
            for step in 1..=NEIGHBOURS {
                let other = (one + step) % USERS;
                let (_, id) = world.user(one).asks_for_conversation_with(&world.user(other)).await;
                conversations[one].insert(id.clone(), other);
                conversations[other].insert(id, one);
            }
        }
        join_all(known.into_iter().map(Client::closes)).await;
        let all: BTreeSet<String> = conversations.iter().flat_map(BTreeMap::keys).cloned().collect();
        let mut devices = Vec::new();
        for (user, conversations) in conversations.into_iter().enumerate() {
            let names = ["phone", "laptop"];
            for name in &names[..if user % SECOND_DEVICE == 0 { 2 } else { 1 }] {
                let rng = StdRng::seed_from_u64(seed << 16 | (devices.len() as u64));
                let foreign = all.iter().filter(|id| !conversations.contains_key(*id)).cloned().collect();
                let own = groups.iter().filter(|group| group.members.contains(&user));
                let groups = own.map(|group| (group.id.clone(), group.people(world))).collect();
                devices.push(Self::new(
                    world.clone(),
                    rng,
                    user,
                    name,
                    conversations.clone(),
                    groups,
                    foreign,
                ));
            }
        }
        devices
    }

    fn new(
        world: Arc<World>,
        rng: StdRng,
        user: usize,
        name: &str,
        conversations: BTreeMap<String, usize>,
        groups: BTreeMap<String, BTreeSet<String>>,
        foreign: Vec<String>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            has: conversations.keys().chain(groups.keys()).map(|id| (id.clone(), Vec::new())).collect(),
            groups,
            world,
            rng,
            user,
            conversations,
            foreign,
            heard_of: BTreeMap::new(),
            changes: BTreeMap::new(),
            read: HashMap::new(),
            nothing_came_until: Instant::now(),
            deleted: HashMap::new(),
            outgoing: None,
            acknowledged: BTreeMap::new(),
            tried: BTreeMap::new(),
            online: HashMap::new(),
            connection: None,
            joined: BTreeSet::new(),
            joining: BTreeMap::new(),
            next_ping: Instant::now(),
            next_join: Instant::now(),
            pings: 0,
            ponged: 0,
            last_ping: Instant::now(),
            leased_until: Instant::now(),
            was_unleased: false,
            counts: Counts::default(),
            wrong: Vec::new(),
        }
    }

    /// Sends, receives, is cut off and reconnects during the trouble.
    pub(super) async fn chats(mut self) -> Self {
        while self.world.is_troubled() {
            self.keeps_connected().await;
            match &self.outgoing {
                Some(outgoing) if outgoing.next_try <= Instant::now() => self.sends_again().await,
                Some(_) => {}
                None => self.sends_another().await,
            }
            self.does_something_else().await;
            // Before it knows the results.
            let socket_is_cut = self.rng.random_bool(0.02);
            if socket_is_cut {
                self.is_cut_off();
            }
            let pause = Duration::from_millis(self.rng.random_range(PAUSE));
            self.listens_for(pause).await;
        }
        self
    }

    /// Continues until its message is stored and all conversations are joined.
    pub(super) async fn settles(&mut self) {
        let until = Instant::now() + CALM_PATIENCE;
        while self.outgoing.is_some() || self.joined.len() < self.has.len() {
            if Instant::now() > until {
                let (joined, all) = (self.joined.len(), self.has.len());
                let unsent = usize::from(self.outgoing.is_some());
                return self.goes_wrong(&format!(
                    "has joined {joined} of {all} and has {unsent} to send although nothing fails any more"
                ));
            }
            self.keeps_connected().await;
            if self.outgoing.as_ref().is_some_and(|outgoing| outgoing.next_try <= Instant::now()) {
                self.sends_again().await;
            }
            self.listens_for(Duration::from_millis(100)).await;
        }
    }

    /// Asks for the state of its conversations, and fetches what it misses.
    pub(super) async fn catches_up(&mut self) {
        let until = Instant::now() + CALM_PATIENCE;
        let before = self.pings;
        self.next_ping = Instant::now();
        while self.ponged <= before || self.misses_something() {
            if Instant::now() > until {
                return self.goes_wrong("could not catch up although nothing fails any more");
            }
            self.keeps_connected().await;
            self.listens_for(Duration::from_millis(100)).await;
        }
    }

    /// Reads who is online, since a lost announcement is not repeated. Returns the number of contacts of whom
    /// something else was announced.
    pub(super) async fn asks_who_is_there(&mut self) -> Result<usize, String> {
        let mut told_otherwise = 0;
        let read = self.reads_who_is_there().await?;
        self.was_unleased = false;
        for (other, is_online) in read {
            let told = self.online.entry(other).or_default();
            // Version 0 stands for no announcement.
            told_otherwise += usize::from(told.0 > 0 && told.1 != is_online);
            told.1 = is_online;
        }
        Ok(told_otherwise)
    }

    /// The contacts and their presence, from the list of conversations.
    pub(super) async fn reads_who_is_there(&self) -> Result<BTreeMap<String, bool>, String> {
        let asked = self.gets("/api/conversations?limit=100").await.map_err(|error| error.to_string())?;
        let answer = asked.error_for_status().map_err(|error| error.to_string())?;
        let page: ConversationPage = answer.json().await.expect("it answers as the protocol says");
        let listed: BTreeSet<_> = page.conversations.iter().map(|listed| listed.id.to_string()).collect();
        if listed != self.has.keys().cloned().collect() {
            return Err(format!("{} is told of other conversations than its own", self.name));
        }
        let others = page.conversations.into_iter().filter_map(|listed| listed.other_user);
        Ok(others.map(|other| (other.user.id.to_string(), other.online)).collect())
    }

    /// Keeps its lease for a while. If the lease ended meanwhile, because this machine was busy, reads who is
    /// online.
    pub(super) async fn stays(&mut self, lasting: Duration) {
        self.keeps_connected().await;
        self.listens_for(lasting).await;
        if self.was_unleased && self.asks_who_is_there().await.is_ok() {
            self.counts.unleased += 1;
        }
    }

    /// Closes the connection with a close frame.
    pub(super) async fn leaves(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.closes().await;
        } else {
            self.goes_wrong("had no connection to close");
        }
    }

    /// Connects, renews the lease, and joins the conversations that are not joined.
    async fn keeps_connected(&mut self) {
        let now = Instant::now();
        if self.connection.is_none() {
            let user = self.world.user(self.user);
            let url = format!("ws://127.0.0.1:{}/v1?token={}", user.stack.port, user.token());
            let connection = match Client::reach(&url).await {
                Ok(connection) => connection,
                Err(tungstenite::Error::Http(answer)) if !answer.status().is_server_error() => {
                    return self.goes_wrong(&format!("was refused with {}", answer.status()));
                }
                Err(_) => return,
            };
            self.connection = Some(connection);
            self.counts.connected += 1;
            self.joined.clear();
            self.joining.clear();
            (self.next_ping, self.next_join) = (now, now);
            self.leased_until = now + LEASE;
        }
        if self.next_ping <= now {
            self.next_ping = now + PING_EVERY;
            self.pings += 1;
            self.last_ping = now;
            self.sends(json!({ "action": "ping", "id": self.ping() })).await;
        }
        if self.next_join <= now {
            self.next_join = now + PAUSE_OF_JOINS;
            self.joining.retain(|id, asked| !self.joined.contains(id) && *asked + ANSWERED_WITHIN > now);
            let missing =
                self.has.keys().filter(|id| !self.joined.contains(*id) && !self.joining.contains_key(*id));
            // All at once, and again and again, would keep a slow machine from ever answering.
            let room = JOINS_AT_ONCE - self.joining.len();
            for id in missing.take(room).cloned().collect::<Vec<_>>() {
                self.joining.insert(id.clone(), now);
                self.sends(json!({ "action": "join_conversation", "id": "join", "conversationId": id }))
                    .await;
            }
        }
    }

    /// The id of the last ping.
    fn ping(&self) -> String {
        format!("ping {}", self.pings)
    }

    fn is_cut_off(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.counts.cut += 1;
            connection.breaks_off();
        }
    }

    async fn sends_another(&mut self) {
        let conversation = self.any_conversation();
        let client_message_id = format!("{} of {}", self.tried.len(), self.title());
        self.tried.insert(client_message_id.clone(), conversation.clone());
        self.outgoing = Some(Outgoing { conversation, client_message_id, next_try: Instant::now() });
        self.tries_to_send().await;
        let twice = self.rng.random_bool(0.05);
        if twice {
            self.counts.sent_twice += 1;
            self.tries_to_send().await;
        }
    }

    async fn sends_again(&mut self) {
        self.counts.sent_again += 1;
        self.tries_to_send().await;
    }

    async fn tries_to_send(&mut self) {
        let outgoing = self.outgoing.as_mut().expect("there is something to send");
        outgoing.next_try = Instant::now() + ANSWERED_WITHIN;
        let frame = json!({
            "action": "send_message",
            "id": outgoing.client_message_id,
            "conversationId": outgoing.conversation,
            "content": content(&outgoing.client_message_id),
            "clientMessageId": outgoing.client_message_id,
        });
        self.sends(frame).await;
    }

    async fn does_something_else(&mut self) {
        let conversation = self.any_conversation();
        match self.rng.random_range(0..20) {
            3..8 => self.changes_a_message(&conversation).await,
            0 => self.does("mark_read", "mark_read", conversation).await,
            1 if self.joined.contains(&conversation) => {
                self.does("typing_start", "typing_start", conversation).await;
            }
            2 => {
                const ACTIONS: [&str; 4] = ["send_message", "join_conversation", "mark_read", "typing_start"];
                let foreign = self.foreign.choose(&mut self.rng).expect("there are some").clone();
                let action = *ACTIONS.choose(&mut self.rng).expect("there are some");
                self.does("foreign", action, foreign.clone()).await;
                self.peeks_into(&foreign).await;
            }
            _ => {}
        }
    }

    /// Edits or deletes one of the user's latest messages, or reacts to any of the latest.
    async fn changes_a_message(&mut self, conversation: &str) {
        const REACTIONS: [&str; 3] = ["👍", "🎉", "👀"];
        let own = self.world.user(self.user).id;
        let latest: Vec<_> = self.has[conversation].iter().rev().take(5).cloned().collect();
        let Some(message) = latest.choose(&mut self.rng) else { return };
        let mut frame = json!({ "id": "change", "messageId": message.id });
        match self.rng.random_range(0..10) {
            0..4 if message.sender == own => {
                let original = message.content.split(" (edited").next().unwrap_or_default();
                frame["action"] = "edit_message".into();
                frame["content"] = format!("{original} (edited {})", self.counts.changes).into();
                frame["ifChange"] = json!(Some(message.change).filter(|change| *change > 0));
            }
            4 if message.sender == own => frame["action"] = "delete_message".into(),
            0..8 => {
                frame["action"] = "add_reaction".into();
                frame["reaction"] = (*REACTIONS.choose(&mut self.rng).expect("there are some")).into();
            }
            _ => {
                frame["action"] = "remove_reaction".into();
                frame["reaction"] = (*REACTIONS.choose(&mut self.rng).expect("there are some")).into();
            }
        }
        self.counts.changes += 1;
        self.sends(frame.clone()).await;
        let twice = self.rng.random_bool(0.05);
        if twice {
            self.sends(frame).await;
        }
    }

    async fn does(&mut self, id: &str, action: &str, conversation: String) {
        let frame = json!({
            "action": action,
            "id": id,
            "conversationId": conversation,
            "content": "?",
            "clientMessageId": format!("{id} of {}", self.title()),
        });
        self.sends(frame).await;
    }

    /// Asks for the messages of others.
    async fn peeks_into(&mut self, foreign: &str) {
        let Ok(answer) = self.gets(&format!("/api/conversations/{foreign}/messages")).await else { return };
        match answer.status().as_u16() {
            403 => self.counts.kept_out += 1,
            _ => self.must_be_an_outage(answer).await,
        }
    }

    fn any_conversation(&mut self) -> String {
        let at = self.rng.random_range(0..self.has.len());
        self.has.keys().nth(at).expect("it is one of them").clone()
    }

    async fn sends(&mut self, frame: Value) {
        if let Some(connection) = &mut self.connection
            && !connection.tries(&frame.to_string()).await
        {
            self.connection = None;
        }
    }

    async fn listens_for(&mut self, lasting: Duration) {
        self.listens_until(Instant::now() + lasting).await;
    }

    async fn listens_until(&mut self, until: Instant) {
        while let Some(connection) = &mut self.connection {
            let taken = match connection.takes().now_or_never() {
                Some(taken) => Ok(taken),
                None => {
                    self.nothing_came_until = Instant::now();
                    timeout_at(until, connection.takes()).await
                }
            };
            match taken {
                Err(_) => return,
                Ok(Some(frame)) => self.hears(frame).await,
                Ok(None) => self.connection = None,
            }
        }
        // A client pauses before it reconnects.
        sleep_until(until).await;
    }

    async fn hears(&mut self, frame: Frame) {
        match frame {
            Frame::Event(answer) => {
                let id = answer.id.map(String::from).unwrap_or_default();
                if id == "foreign" {
                    self.goes_wrong(&format!("did in a foreign conversation: {:?}", answer.event));
                }
                if let Some(ping) = id.strip_prefix("ping ").and_then(|number| number.parse().ok()) {
                    self.ponged = self.ponged.max(ping);
                    self.was_unleased |= Instant::now() > self.leased_until;
                    self.leased_until = self.last_ping + LEASE;
                }
                if let Event::MessageChanged { message, .. } = &answer.event {
                    self.counts.changed += usize::from(id == "change");
                    if message.deleted_at.is_some() {
                        self.deleted.entry(message.id.to_string()).or_insert_with(Instant::now);
                    }
                }
                if let (
                    "",
                    Event::NewMessage(message)
                    | Event::MessageChanged { message, .. }
                    | Event::ConversationUpdated { last_message: message, .. },
                ) = (id.as_str(), &answer.event)
                    && message.deleted_at.is_none()
                {
                    self.read.insert(message.id.to_string(), self.nothing_came_until);
                }
                self.learns(answer.event).await;
            }
            Frame::Error(frame) => {
                let id = frame.id.map(String::from).unwrap_or_default();
                match frame.error.code {
                    Code::Unavailable | Code::RateLimited => {
                        self.counts.refused += 1;
                        let wait = frame.error.retry_after_ms.unwrap_or(200);
                        self.tries_again_in(Duration::from_millis(wait), Some(&id));
                    }
                    Code::Forbidden if id == "foreign" => self.counts.kept_out += 1,
                    // A connection that counted as gone has lost its joined conversations. Its next frame
                    // tells it so.
                    Code::Forbidden if id == "typing_start" => {}
                    // Another device has deleted it.
                    Code::InvalidRequest
                        if id == "change" && frame.error.message == "messageId: this message is deleted" => {}
                    code => self.goes_wrong(&format!("{id} was answered {code:?}: {}", frame.error.message)),
                }
            }
            // A function was killed. The gateway's frame does not say which frame it answers.
            Frame::Gateway(_) => {
                self.counts.gateway_errors += 1;
                self.tries_again_in(Duration::from_secs(1), None);
            }
        }
    }

    /// A refused action is repeated soon.
    fn tries_again_in(&mut self, wait: Duration, id: Option<&str>) {
        let at = Instant::now() + wait;
        let is_meant = |name: &str| id.is_none_or(|id| id == name);
        if let Some(outgoing) = &mut self.outgoing
            && is_meant(&outgoing.client_message_id)
        {
            outgoing.next_try = outgoing.next_try.min(at);
        }
        if is_meant(&self.ping()) {
            self.next_ping = self.next_ping.min(at);
        }
        if is_meant("join") {
            self.joining.clear();
            self.next_join = self.next_join.min(at);
        }
    }

    async fn learns(&mut self, event: Event) {
        match event {
            Event::NewMessage(message) => {
                self.is_acknowledged(&message);
                self.takes(message).await;
            }
            Event::ConversationUpdated { conversation_id, last_message, last_seq, .. } => {
                if (conversation_id, last_seq) != (last_message.conversation_id, last_message.seq) {
                    self.goes_wrong(&format!(
                        "{conversation_id} is said to be at {last_seq:?}: {last_message:?}"
                    ));
                }
                self.takes(last_message).await;
            }
            Event::MessageChanged { message, change } => {
                let conversation = message.conversation_id.to_string();
                let is_here = self.takes(message).await;
                if let Some(change) = change {
                    self.hears_of_change(&conversation, change.0, is_here).await;
                }
            }
            Event::JoinedConversation { conversation_id, last_seq, last_change, online_user_ids } => {
                let conversation = conversation_id.to_string();
                let Some(others) = self.is_in(&conversation) else { return };
                let online: BTreeSet<_> = online_user_ids.iter().map(ToString::to_string).collect();
                let own = self.world.user(self.user).id;
                for stranger in online.iter().filter(|id| !others.contains(*id) && **id != own) {
                    self.goes_wrong(&format!("{stranger} is said to be online in {conversation}"));
                }
                for other in others {
                    let is_online = online.contains(&other);
                    self.online.entry(other).or_default().1 = is_online;
                }
                self.joined.insert(conversation.clone());
                self.hears_of(&conversation, last_seq.0).await;
                self.hears_of_change(&conversation, last_change.0, false).await;
            }
            Event::Pong { conversations, .. } => {
                for head in conversations {
                    let conversation = head.conversation_id.to_string();
                    self.hears_of(&conversation, head.last_seq.0).await;
                    self.hears_of_change(&conversation, head.last_change.0, false).await;
                }
            }
            // Nobody changes a title here.
            Event::ConversationChanged { conversation_id, .. } => {
                self.goes_wrong(&format!("{conversation_id} is said to have changed"));
            }
            // Guests come and go.
            Event::ParticipantsChanged { conversation_id, last_change, .. } => {
                self.hears_of_change(&conversation_id.to_string(), last_change.0, true).await;
            }
            Event::UserOnline { user_id, version } => self.sees(&user_id.to_string(), version, true),
            Event::UserOffline { user_id, version, .. } => self.sees(&user_id.to_string(), version, false),
            Event::MessagesRead { conversation_id, reader_id: user, .. }
            | Event::UserTyping { conversation_id, user_id: user, .. }
            | Event::UserStoppedTyping { conversation_id, user_id: user } => {
                let conversation = conversation_id.to_string();
                let Some(others) = self.is_in(&conversation) else { return };
                let user = user.to_string();
                if !others.contains(&user) && self.world.user(self.user).id != user {
                    self.goes_wrong(&format!("heard of {user} in {conversation}"));
                }
            }
            Event::LeftConversation { conversation_id } => {
                self.is_in(&conversation_id.to_string());
            }
        }
    }

    /// The others in a conversation.
    fn is_in(&mut self, conversation: &str) -> Option<BTreeSet<String>> {
        let other = self.conversations.get(conversation).map(|other| [self.world.user(*other).id].into());
        let others = other.or_else(|| self.groups.get(conversation).cloned());
        if others.is_none() {
            self.goes_wrong(&format!("heard of {conversation}, which is not the user's"));
        }
        others
    }

    fn sees(&mut self, user: &str, version: u64, is_online: bool) {
        let is_contact = self.conversations.values().any(|other| self.world.user(*other).id == user)
            || self.groups.values().any(|people| people.contains(user));
        if !is_contact {
            return self.goes_wrong(&format!("was told of {user}, who is no contact"));
        }
        let seen = self.online.entry(user.to_owned()).or_default();
        if version > seen.0 {
            *seen = (version, is_online);
        }
    }

    /// Records that a message of its own is stored: from the answer, or from a push to another connection.
    fn is_acknowledged(&mut self, message: &Message) {
        let Some(id) = message.client_message_id.clone().filter(|id| self.tried.contains_key(id)) else {
            return;
        };
        self.outgoing.take_if(|outgoing| outgoing.client_message_id == id);
        let stored = (message.conversation_id.to_string(), place(message.seq.0), message.id.to_string());
        if let Some(before) = self.acknowledged.insert(id.clone(), stored.clone())
            && before != stored
        {
            self.goes_wrong(&format!("{id} was stored as {before:?} and as {stored:?}"));
        }
    }

    /// Keeps a message, or its later state. Returns whether the device has that state now, or a later one.
    async fn takes(&mut self, message: Message) -> bool {
        let conversation = message.conversation_id.to_string();
        if self.is_in(&conversation).is_none() {
            return false;
        }
        let (seq, new) = (place(message.seq.0), self.sees_message(&message));
        let has = self.has.entry(conversation.clone()).or_default();
        let count = has.len();
        match seq.checked_sub(1).and_then(|at| has.get_mut(at)) {
            Some(known) if known.id == new.id && known.change < new.change => *known = new,
            Some(known) if known.id == new.id && (known.change > new.change || *known == new) => {
                self.counts.told_again += 1;
            }
            Some(known) => {
                let found = format!("{conversation} has {known:?} and {new:?} at {seq}");
                self.goes_wrong(&found);
            }
            None if seq == count + 1 => has.push(new),
            None => {
                self.counts.gaps += 1;
                self.hears_of(&conversation, message.seq.0).await;
                // What was fetched is as new: the message was like this before it was fetched.
                return self.has[&conversation].len() >= seq;
            }
        }
        true
    }

    fn sees_message(&mut self, message: &Message) -> Seen {
        if message.deleted_at.is_some() && !(message.content.is_empty() && message.reactions.is_empty()) {
            self.goes_wrong(&format!("{:?} is deleted and says something", message.id));
        }
        seen(message)
    }

    /// Hears that a conversation has changed. `is_here` says that this change is known.
    async fn hears_of_change(&mut self, conversation: &str, change: i64, is_here: bool) {
        if self.is_in(conversation).is_none() {
            return;
        }
        let (all, latest) = self.changes.entry(conversation.to_owned()).or_default();
        if is_here && *all + 1 == change {
            *all = change;
        }
        *latest = change.max(*latest);
        if all < latest {
            self.fetches_changes(conversation).await;
        }
    }

    /// Fetches the changes after the last one up to which it has all. If that fails, the next pong is another
    /// occasion.
    async fn fetches_changes(&mut self, conversation: &str) {
        loop {
            let (all, _) = self.changes[conversation];
            let path = format!("/api/conversations/{conversation}/changes?limit=100&after={all}");
            let Some(page) = self.fetches_json::<Changes>(&path).await else { return };
            self.counts.changes_fetched += page.messages.len();
            for message in page.messages {
                if !self.takes(message).await {
                    return;
                }
            }
            let known = self.changes.entry(conversation.to_owned()).or_default();
            known.0 = known.0.max(page.last_change.0);
            if !page.has_more {
                return;
            }
        }
    }

    async fn hears_of(&mut self, conversation: &str, last_seq: i64) {
        if self.is_in(conversation).is_none() {
            return;
        }
        let heard_of = self.heard_of.entry(conversation.to_owned()).or_default();
        *heard_of = (*heard_of).max(place(last_seq));
        if *heard_of > self.has[conversation].len() {
            self.fetches(conversation).await;
        }
    }

    fn misses_something(&self) -> bool {
        self.heard_of.iter().any(|(conversation, heard_of)| self.has[conversation].len() < *heard_of)
            || self.changes.values().any(|(all, latest)| all < latest)
    }

    /// Fetches the messages after the last one it has. If that fails, the next pong is another occasion.
    async fn fetches(&mut self, conversation: &str) {
        loop {
            let query = match self.has[conversation].last() {
                Some(Seen { id, .. }) => format!("?limit=100&after={id}"),
                None => "?limit=100".to_owned(),
            };
            let Some(mut page) = self.fetches_page(conversation, &query).await else { return };
            if self.has[conversation].is_empty() {
                // From the newest page back to the first message.
                while page.has_more {
                    let Some(first) = page.messages.first() else { return };
                    let query = format!("?limit=100&before={}", first.id);
                    let Some(mut older) = self.fetches_page(conversation, &query).await else { return };
                    older.messages.append(&mut page.messages);
                    page = older;
                }
            }
            self.counts.fetched += page.messages.len();
            let has_more = page.has_more;
            for message in page.messages {
                let new = self.sees_message(&message);
                let has = self.has.entry(conversation.to_owned()).or_default();
                if place(message.seq.0) != has.len() + 1 {
                    let found = format!("{conversation} goes on with {} after {}", message.seq.0, has.len());
                    return self.goes_wrong(&found);
                }
                has.push(new);
            }
            if !has_more {
                return;
            }
        }
    }

    async fn fetches_page(&mut self, conversation: &str, query: &str) -> Option<MessagePage> {
        self.fetches_json(&format!("/api/conversations/{conversation}/messages{query}")).await
    }

    async fn fetches_json<T: DeserializeOwned>(&mut self, path: &str) -> Option<T> {
        let answer = self.gets(path).await.ok()?;
        match answer.status().as_u16() {
            200 => answer.json().await.ok(),
            _ => {
                self.must_be_an_outage(answer).await;
                None
            }
        }
    }

    /// The answer has to be that a dependency is unavailable, or the gateway's own error after a function was
    /// killed.
    async fn must_be_an_outage(&mut self, answer: Response) {
        let (status, path) = (answer.status().as_u16(), answer.url().path().to_owned());
        // The gateway may end while it answers.
        let Ok(body) = answer.text().await else { return };
        if status != 503 && (status, body.as_str()) != (500, r#"{"message":"Internal Server Error"}"#) {
            self.goes_wrong(&format!("{path} was answered {status}: {body}"));
        }
    }

    async fn gets(&self, path: &str) -> Result<Response, reqwest::Error> {
        let user = self.world.user(self.user);
        self.world.http.get(user.stack.http(path)).bearer_auth(user.token()).send().await
    }

    fn goes_wrong(&mut self, what: &str) {
        self.wrong.push(format!("{}: {what}", self.title()));
    }

    fn title(&self) -> String {
        format!("the {} of {}", self.name, self.world.user(self.user).id)
    }
}

/// The text of the message with this client message id.
pub(super) fn content(client_message_id: &str) -> String {
    format!("message {client_message_id}")
}

fn seen(message: &Message) -> Seen {
    Seen {
        id: message.id.to_string(),
        sender: message.sender_id.to_string(),
        content: message.content.clone(),
        reactions: message
            .reactions
            .iter()
            .map(|of| {
                (of.reaction.as_str().to_owned(), of.user_ids.iter().map(ToString::to_string).collect())
            })
            .collect(),
        change: message.change.map_or(0, |change| change.0),
    }
}

/// A `seq` as a number of messages.
pub(super) fn place(seq: i64) -> usize {
    usize::try_from(seq).expect("seq is 0 or more")
}
