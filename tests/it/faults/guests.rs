//! Groups of users, and guests who are added to them and removed while everything fails.
//!
//! A guest gets nothing from before a visit, and nothing later than two seconds after a removal was answered;
//! what they send after that is not stored.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use harness::connect;
use protocol::rest::Conversation;
use protocol::{Event, Message};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::world::{USERS, World};
use crate::people::{Client, Frame, User};

/// The sizes of the groups without their guests.
const SIZES: [usize; 3] = [1, 5, 11];

/// How long frames under way may arrive, and how much later this busy machine may look at them.
pub(super) const UNDER_WAY: Duration = Duration::from_millis(2500);

/// A group of users, which has a guest at times.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: String,
    /// The first one is the owner.
    pub(super) members: Vec<usize>,
    guest: usize,
}

impl Group {
    /// Makes all groups.
    pub(super) async fn all(world: &World) -> Vec<Self> {
        let mut groups = Vec::new();
        for (number, size) in SIZES.into_iter().enumerate() {
            let members: Vec<_> = (0..size).map(|at| (number * 7 + at * 2) % USERS).collect();
            let guest = USERS + number;
            for user in members.iter().chain([&guest]) {
                world.user(*user).connects().await.closes().await;
            }
            let others: Vec<_> = members[1..].iter().map(|other| world.user(*other)).collect();
            let id = world.user(members[0]).makes_group(&others.iter().collect::<Vec<_>>()).await;
            groups.push(Self { id, members, guest });
        }
        groups
    }

    /// The ids of all who are ever in it.
    pub(super) fn people(&self, world: &World) -> BTreeSet<String> {
        self.members.iter().chain([&self.guest]).map(|user| world.user(*user).id).collect()
    }
}

/// A time in which the guest takes part.
#[derive(Debug)]
struct Visit {
    /// When the owner began to add the guest.
    since: (Instant, SystemTime),
    first_seq: i64,
    /// When the removal was answered.
    until: Option<(Instant, SystemTime)>,
}

/// A guest with a phone.
pub(super) struct Guest {
    world: Arc<World>,
    rng: StdRng,
    group: String,
    owner: usize,
    user: usize,
    visits: Vec<Visit>,
    /// The messages that the phone got, and when.
    heard: Vec<(Instant, Message)>,
    connection: Option<Client>,
    sent: usize,
    next_frame: Instant,
    /// The requests of the owner that were repeated.
    repeated: usize,
}

impl Guest {
    pub(super) fn of(world: &Arc<World>, group: &Group, seed: u64) -> Self {
        Self {
            world: world.clone(),
            rng: StdRng::seed_from_u64(seed << 32 | group.guest as u64),
            group: group.id.clone(),
            owner: group.members[0],
            user: group.guest,
            visits: Vec::new(),
            heard: Vec::new(),
            connection: None,
            sent: 0,
            next_frame: Instant::now(),
            repeated: 0,
        }
    }

    /// Is added and removed again and again during the trouble. At the end they are out.
    pub(super) async fn visits(mut self) -> Self {
        while self.world.is_troubled() {
            let since = (Instant::now(), SystemTime::now());
            let path = format!("/api/conversations/{}/participants", self.group);
            let body = json!({ "userIds": [self.world.user(self.user).id] });
            self.owner_does(Method::POST, &path, Some(&body), 200).await;
            let first_seq = self.first_seq().await;
            self.visits.push(Visit { since, first_seq, until: None });
            let stay = Duration::from_millis(self.rng.random_range(1500..5000));
            self.listens_until(Instant::now() + stay).await;
            let path = format!("{path}?userId={}", self.world.user(self.user).id);
            self.owner_does(Method::DELETE, &path, None, 204).await;
            let visit = self.visits.last_mut().expect("it was just added");
            visit.until = Some((Instant::now(), SystemTime::now()));
            let pause = Duration::from_millis(self.rng.random_range(3000..6000));
            self.listens_until(Instant::now() + pause).await;
        }
        self.listens_until(Instant::now() + Duration::from_secs(3)).await;
        self
    }

    /// Lets the owner send a request until it has succeeded. The phone goes on meanwhile.
    async fn owner_does(&mut self, method: Method, path: &str, body: Option<&Value>, expected: u16) {
        loop {
            let owner = self.world.user(self.owner);
            let asked = request(&owner, method.clone(), path, body);
            let (_, answered) = tokio::join!(self.listens_for_a_moment(), asked);
            match answered.map(|answer| answer.status().as_u16()) {
                Ok(status) if status == expected => return,
                Ok(status) => assert!(status >= 500, "{method} {path} was answered {status}"),
                Err(_) => {}
            }
            self.repeated += 1;
        }
    }

    async fn first_seq(&mut self) -> i64 {
        loop {
            let path = format!("/api/conversations/{}", self.group);
            let guest = self.world.user(self.user);
            let (_, answered) =
                tokio::join!(self.listens_for_a_moment(), request(&guest, Method::GET, &path, None));
            if let Ok(answer) = answered {
                match answer.status().as_u16() {
                    200 => {
                        if let Ok(seen) = answer.json::<Conversation>().await {
                            return seen.first_seq.0;
                        }
                    }
                    status => assert!(status >= 500, "{path} was answered {status}"),
                }
            }
        }
    }

    async fn listens_for_a_moment(&mut self) {
        self.listens_until(Instant::now() + Duration::from_millis(200)).await;
    }

    /// Keeps connected, and sends and joins now and then, whether or not the guest takes part.
    async fn listens_until(&mut self, until: Instant) {
        while Instant::now() < until {
            if self.connection.is_none() {
                let user = self.world.user(self.user);
                let url = format!("ws://127.0.0.1:{}/v1?token={}", user.stack.port, user.token());
                match Client::reach(&url).await {
                    Ok(connection) => self.connection = Some(connection),
                    Err(_) => {
                        // A client pauses before it connects again; here the stack may be starting anew.
                        sleep(Duration::from_millis(200)).await;
                        continue;
                    }
                }
            }
            let connection = self.connection.as_mut().expect("it was just opened");
            if self.next_frame <= Instant::now() {
                self.next_frame = Instant::now() + Duration::from_millis(400);
                self.sent += 1;
                let frame = match self.sent % 3 {
                    0 => json!({ "action": "ping" }),
                    1 => json!({ "action": "join_conversation", "conversationId": self.group }),
                    _ => json!({
                        "action": "send_message",
                        "conversationId": self.group,
                        "content": "from a guest",
                    }),
                };
                if !connection.tries(&frame.to_string()).await {
                    self.connection = None;
                    continue;
                }
            }
            match timeout_at(until.min(self.next_frame), connection.takes()).await {
                Err(_) => {}
                Ok(None) => self.connection = None,
                Ok(Some(Frame::Event(answer))) => match answer.event {
                    Event::NewMessage(message) | Event::ConversationUpdated { last_message: message, .. } => {
                        self.heard.push((Instant::now(), message));
                    }
                    _ => {}
                },
                Ok(Some(Frame::Error(_) | Frame::Gateway(_))) => {}
            }
        }
    }

    /// Compares what was heard and what is stored with the visits. Returns what is wrong.
    pub(super) async fn checks(self) -> Vec<String> {
        let mut wrong = Vec::new();
        let name = self.world.user(self.user).id;
        for (at, message) in &self.heard {
            let may_hear = |visit: &Visit| {
                visit.since.0 <= *at
                    && visit.until.is_none_or(|(until, _)| *at <= until + UNDER_WAY)
                    && visit.first_seq <= message.seq.0
            };
            if !self.visits.iter().any(may_hear) {
                let since = self.visits.iter().rfind(|visit| visit.since.0 <= *at);
                wrong.push(format!("{name} heard {:?} at {at:?}, the last visit was {since:?}", message.seq));
            }
        }
        let postgres = connect(&self.world.database.url).await;
        let sql = "select extract(epoch from created_at)::float8 from messages where sender_id = $1";
        let stored = postgres.query(sql, &[&name]).await.unwrap();
        for row in &stored {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(row.get(0));
            let takes_part =
                |visit: &Visit| visit.since.1 <= at && visit.until.is_none_or(|(_, until)| at <= until);
            if !self.visits.iter().any(takes_part) {
                wrong.push(format!("a message of {name} is stored at {at:?}, outside of their visits"));
            }
        }
        println!(
            "  {name}: {} visits, {} requests of the owner repeated, {} messages heard, {} stored",
            self.visits.len(),
            self.repeated,
            self.heard.len(),
            stored.len()
        );
        if self.visits.is_empty() || self.heard.is_empty() || stored.is_empty() {
            wrong.push(format!("{name} has tested nothing"));
        }
        wrong
    }
}

async fn request(
    user: &User,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<reqwest::Response, reqwest::Error> {
    let client = reqwest::Client::new();
    let mut request = client.request(method, user.stack.http(path)).bearer_auth(user.token());
    if let Some(body) = body {
        request = request.json(body);
    }
    request.timeout(Duration::from_secs(15)).send().await
}
