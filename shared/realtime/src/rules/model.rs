//! Explores every order in which a user's connects, disconnects, pings and sweeps can happen.
//!
//! The model carries out what [`decide`] says as `Connections::carry_out` does, one step at a time: decide
//! and write, announce, take the announcement away. Between any two steps of one invocation all others can
//! take theirs; a write can be carried out and its answer lost; an invocation can be killed after any step,
//! and be repeated then or not; a connection can turn out to be gone; time can pass. Once nothing is left to
//! happen, the connections that are open keep pinging until all other leases have expired and the sweep has
//! come by, and the user has to be what was announced last.
//!
//! To read an item and to write it is one step: a write fails if another invocation has written the item
//! since it was read, which changes nothing, and the item is read again.

use std::collections::BTreeMap;

use domain::{ConnectionId, UserId};
use stateright::{Checker, Model, Property};

use super::{Decision, Happened, decide, was_carried_out};
use crate::table::Millis;
use crate::user_item::{ANNOUNCED_WITHIN, Token, Transition, UserItem};

/// A lease lasts as long as three times what the sweep waits for.
const LEASE: Millis = 3 * ANNOUNCED_WITHIN;

/// When all tokens were issued.
const ISSUED_AT: i64 = 1;

/// The model: one user with `connections` connections, each of which opens once.
#[derive(Clone, Debug)]
struct Presence {
    connections: usize,
    budget: Budget,
    was_it_me: WasItMe,
}

/// How an invocation finds out whether its last write was carried out.
#[derive(Clone, Copy, Debug)]
enum WasItMe {
    /// By the token of the attempt, as [`was_carried_out`] says.
    ByToken,
    /// By the connection that moved the mark last, as it was done before.
    ByConnection,
}

/// What may happen besides, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Budget {
    pings: u8,
    sweeps: u8,
    lost_answers: u8,
    kills: u8,
    /// How many connections break off and are found to be gone, without a disconnect.
    gone: u8,
    /// How often a receiver reads presence without having received an earlier announcement.
    looks: u8,
    /// How often the tokens of the user are revoked.
    revocations: u8,
    /// How often time passes by a lease's length while something is still to happen.
    lapses: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    now: Millis,
    item: UserItem,
    connections: Vec<Socket>,
    invocations: Vec<Invocation>,
    budget: Budget,
    /// The transitions that the item has made, and which of them were announced.
    made: BTreeMap<Transition, bool>,
    /// What a receiver shows that drops a frame with a lower version than one before.
    shown: Option<Transition>,
    /// What the receiver shows that last read presence while no invocation was running.
    looked: Option<Looked>,
    /// Whether something was announced that has not happened, or twice although nothing disturbed the run.
    announced_wrongly: bool,
    /// Who moved the mark last, which only the old way to recognise a write asks for.
    moved_by: Option<Happened>,
    /// Whether a revocation was carried out to its end.
    is_revoked: bool,
    /// Whether an invocation was killed, a connection broke off, or the time of a lease has passed: then the
    /// sweep has work to do.
    disturbed: bool,
    /// Whether all that could happen has happened, and the sweep has come by.
    settled: bool,
}

/// What a receiver shows that has read presence from a list, and gets announcements from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Looked {
    online: bool,
    /// The version of the last announcement; 0 before the first.
    version: u64,
}

/// A connection as the gateway sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Socket {
    Unopened,
    Connecting,
    Open,
    Closed,
}

/// An invocation between two of its steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Invocation {
    /// No other invocation has this name.
    name: String,
    happened: Happened,
    step: Step,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// Reads the item, and decides on it and writes it, maybe after an attempt that was not answered.
    Write { before: Option<Decision> },
    /// Reads the item after a write without an answer, and finds out whether that was carried out.
    Doubt { tried: Decision },
    /// Closes connections whose tokens are revoked.
    Close { ended: Vec<ConnectionId> },
    /// Announces what it has written.
    Announce { token: Token, transitions: Vec<Transition> },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Action {
    Connect(usize),
    Ping(usize),
    Close(usize),
    Sweep,
    Revoke,
    /// The next step of an invocation.
    Go(usize),
    /// The same, but the answer to its write is lost.
    GoWithoutAnswer(usize),
    /// Kills an invocation, and delivers its event again if the flag is set.
    Kill(usize, bool),
    /// A connection breaks off, and a push to it is answered 410.
    BreakOff(usize),
    Look,
    Lapse,
    Settle,
}

impl Presence {
    fn was_carried_out(&self, happened: &Happened, attempt: &Decision, state: &State) -> bool {
        match self.was_it_me {
            WasItMe::ByToken => was_carried_out(attempt, &state.item),
            WasItMe::ByConnection => {
                let by = |happened: &Happened| match happened {
                    Happened::Connects { connection, .. } | Happened::Disconnects { connection } => {
                        Some(connection.clone())
                    }
                    _ => None,
                };
                attempt.announce.is_some() && state.moved_by.as_ref().and_then(by) == by(happened)
            }
        }
    }
}

fn connection(number: usize) -> ConnectionId {
    ConnectionId::parse(["X", "Y", "Z"][number]).unwrap()
}

/// Unique: an invocation decides once on each version.
fn token(invocation: &str, seen: &UserItem) -> Token {
    Token(format!("{invocation}{}", seen.version))
}

fn number(id: &ConnectionId) -> usize {
    ["X", "Y", "Z"].iter().position(|name| *name == id.as_str()).unwrap()
}

impl State {
    fn new(model: &Presence) -> Self {
        Self {
            now: 1,
            item: UserItem::absent(UserId::parse("alice").unwrap()),
            connections: vec![Socket::Unopened; model.connections],
            invocations: Vec::new(),
            budget: model.budget.clone(),
            made: BTreeMap::new(),
            shown: None,
            looked: None,
            announced_wrongly: false,
            moved_by: None,
            is_revoked: false,
            disturbed: false,
            settled: false,
        }
    }

    fn begin(&mut self, happened: Happened) {
        let name = match &happened {
            Happened::Connects { connection, .. } => format!("connect {connection} "),
            // What was killed may be repeated.
            Happened::Disconnects { connection } => format!("disconnect {connection} {} ", self.budget.kills),
            Happened::IsSwept => format!("sweep {} ", self.budget.sweeps),
            Happened::IsRevoked { .. } => {
                format!("revoke {} {} ", self.budget.revocations, self.budget.kills)
            }
            Happened::AreClosed { .. } => unreachable!("it follows a revocation"),
            Happened::Pings { .. }
            | Happened::IsGone { .. }
            | Happened::IsErased
            | Happened::WasAnnounced { .. } => "leaves no token ".to_owned(),
        };
        self.invocations.push(Invocation { name, happened, step: Step::Write { before: None } });
        self.invocations.sort_by(|one, other| one.name.cmp(&other.name));
    }

    fn is_quiet(&self) -> bool {
        self.settled || self.invocations.is_empty() && !self.disturbed
    }

    fn is_online(&self) -> bool {
        self.connections.contains(&Socket::Open)
    }

    /// Whether a list says that the user is online.
    fn is_listed(&self) -> bool {
        self.item.unexpired(self.now).next().is_some()
    }

    /// Carries out the next step of an invocation. It is gone from the list if that was its last.
    fn go(&mut self, model: &Presence, at: usize, answered: bool) {
        let Invocation { name, happened, step } = self.invocations.remove(at);
        let (happened, next) = match step {
            Step::Doubt { tried } => match model.was_carried_out(&happened, &tried, self) {
                true => self.written(happened, tried),
                false => (happened, Some(Step::Write { before: Some(tried) })),
            },
            Step::Write { before } => {
                let decision = decide(&self.item, &happened, self.now, token(&name, &self.item));
                let decision = decision.after(before.unwrap_or_else(Decision::nothing));
                if let Some(next) = decision.write.clone() {
                    self.write(model, &happened, next);
                }
                match answered || decision.write.is_none() {
                    true => self.written(happened, decision),
                    // The SDK tries again, and then the version is another one.
                    false => (happened, Some(Step::Doubt { tried: decision })),
                }
            }
            Step::Close { ended } => {
                for connection in &ended {
                    self.connections[number(connection)] = Socket::Closed;
                }
                (Happened::AreClosed { connections: ended }, Some(Step::Write { before: None }))
            }
            Step::Announce { token, transitions } => {
                for transition in transitions {
                    self.announce(transition);
                }
                (Happened::WasAnnounced { token }, Some(Step::Write { before: None }))
            }
        };
        if let Some(step) = next {
            self.invocations.insert(at, Invocation { name, happened, step });
        }
    }

    fn write(&mut self, model: &Presence, happened: &Happened, next: UserItem) {
        if self.item.online != next.online {
            let offline_since = if next.online { None } else { next.last_seen_at };
            let made = Transition { version: next.version, at: self.now, offline_since };
            let last =
                self.made.last_key_value().map(|(last, _)| (last.version, last.offline_since.is_none()));
            assert!(last.is_none_or(|(version, online)| version < made.version && online != next.online));
            self.made.insert(made, false);
            self.moved_by = matches!(model.was_it_me, WasItMe::ByConnection).then(|| happened.clone());
        }
        if matches!(model.was_it_me, WasItMe::ByConnection) {
            // By token, an invocation that has failed to write the item cannot take that for a success.
            for other in
                self.invocations.iter_mut().filter(|other| other.step == Step::Write { before: None })
            {
                let token = token(&other.name, &self.item);
                let tried = decide(&self.item, &other.happened, self.now, token);
                other.step = Step::Doubt { tried };
            }
        }
        self.item = next;
    }

    fn announce(&mut self, transition: Transition) {
        match self.made.get_mut(&transition) {
            // An invocation that takes over from a killed one cannot know what that one announced.
            Some(announced) => {
                self.announced_wrongly |= std::mem::replace(announced, true) && !self.disturbed;
            }
            None => self.announced_wrongly = true,
        }
        self.shown = self.shown.max(Some(transition));
        if let Some(looked) = self.looked.as_mut().filter(|looked| looked.version < transition.version) {
            *looked = Looked { online: transition.offline_since.is_none(), version: transition.version };
        }
    }

    /// What an invocation does once it knows that what it decided is written.
    fn written(&mut self, happened: Happened, decision: Decision) -> (Happened, Option<Step>) {
        match &happened {
            // It may have been the oldest before it was open. Then its first frame closes it.
            Happened::Connects { connection, .. } => {
                let socket = &mut self.connections[number(connection)];
                let holds = self.item.leases.contains_key(connection) && *socket == Socket::Connecting;
                *socket = if holds { Socket::Open } else { Socket::Closed };
            }
            Happened::IsRevoked { .. } => {
                let ended = decision.expired.into_iter().map(|(connection, _)| connection).collect();
                return (happened, Some(Step::Close { ended }));
            }
            Happened::AreClosed { .. } => self.is_revoked = true,
            // A client whose lease is gone is told to connect again.
            Happened::Pings { connection, .. } if decision.write.is_none() => {
                self.connections[number(connection)] = Socket::Closed;
            }
            _ => {}
        }
        for (ended, _) in decision.expired.iter().chain(&decision.surplus) {
            let socket = &mut self.connections[number(ended)];
            // One that is not open yet cannot be closed, unless it is waited for as a revocation does.
            if *socket == Socket::Open {
                *socket = Socket::Closed;
            }
        }
        let announce = decision.announce.map(|(token, transitions)| Step::Announce { token, transitions });
        (happened, announce)
    }

    fn kill(&mut self, at: usize, repeated: bool) {
        let Invocation { happened, .. } = self.invocations.remove(at);
        self.disturbed = true;
        match happened {
            // The handshake fails, and nobody repeats it.
            Happened::Connects { connection, .. } => self.connections[number(&connection)] = Socket::Closed,
            // What follows an event is not an event.
            Happened::WasAnnounced { .. } => {}
            Happened::AreClosed { .. } if repeated => self.begin(Happened::IsRevoked { at: ISSUED_AT }),
            Happened::AreClosed { .. } => {}
            _ if repeated => self.begin(happened),
            _ => {}
        }
    }

    /// Runs one invocation without anybody in between.
    fn run(&mut self, model: &Presence, happened: Happened) {
        self.begin(happened);
        while !self.invocations.is_empty() {
            self.go(model, 0, true);
        }
    }

    fn settle(&mut self, model: &Presence) {
        for _ in 0..=LEASE / ANNOUNCED_WITHIN {
            self.now += ANNOUNCED_WITHIN;
            for at in 0..self.connections.len() {
                if self.connections[at] == Socket::Open {
                    self.run(model, Happened::Pings { connection: connection(at), lease: LEASE });
                }
            }
            if self.item.sweep_at().is_some_and(|at| at <= self.now) {
                self.run(model, Happened::IsSwept);
            }
        }
        self.settled = true;
    }
}

impl Model for Presence {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.settled {
            return;
        }
        let quiet = state.invocations.is_empty();
        for (at, socket) in state.connections.iter().enumerate() {
            match socket {
                // Unopened connections are interchangeable, so they open in order.
                Socket::Unopened if !state.connections[..at].contains(&Socket::Unopened) => {
                    actions.push(Action::Connect(at));
                }
                Socket::Open => {
                    actions.push(Action::Close(at));
                    if state.budget.pings > 0 {
                        actions.push(Action::Ping(at));
                    }
                    if state.budget.gone > 0 {
                        actions.push(Action::BreakOff(at));
                    }
                }
                _ => {}
            }
        }
        if state.budget.sweeps > 0 {
            actions.push(Action::Sweep);
        }
        if state.budget.revocations > 0 {
            actions.push(Action::Revoke);
        }
        for (at, invocation) in state.invocations.iter().enumerate() {
            actions.push(Action::Go(at));
            if state.budget.lost_answers > 0 && matches!(invocation.step, Step::Write { .. }) {
                actions.push(Action::GoWithoutAnswer(at));
            }
            if state.budget.kills > 0 {
                actions.extend([false, true].map(|repeated| Action::Kill(at, repeated)));
            }
        }
        // Presence is read only while no invocation is running: announcements then under way do not reach new
        // connections.
        if quiet && state.budget.looks > 0 {
            actions.push(Action::Look);
        }
        // No invocation lasts as long as a lease.
        if quiet && state.budget.lapses > 0 {
            actions.push(Action::Lapse);
        }
        if quiet {
            actions.push(Action::Settle);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Connect(at) => {
                next.connections[at] = Socket::Connecting;
                let connection = connection(at);
                let token_issued_at = Some(ISSUED_AT);
                next.begin(Happened::Connects {
                    connection,
                    token_issued_at,
                    lease: LEASE,
                    max_connections: 2,
                });
            }
            Action::Ping(at) => {
                next.budget.pings -= 1;
                next.begin(Happened::Pings { connection: connection(at), lease: LEASE });
            }
            Action::BreakOff(at) => {
                next.budget.gone -= 1;
                next.disturbed = true;
                next.connections[at] = Socket::Closed;
                next.begin(Happened::IsGone { connection: connection(at) });
            }
            Action::Close(at) => {
                next.connections[at] = Socket::Closed;
                next.begin(Happened::Disconnects { connection: connection(at) });
            }
            Action::Sweep => {
                next.budget.sweeps -= 1;
                next.begin(Happened::IsSwept);
            }
            Action::Revoke => {
                next.budget.revocations -= 1;
                next.begin(Happened::IsRevoked { at: ISSUED_AT });
            }
            Action::Go(at) => next.go(self, at, true),
            Action::GoWithoutAnswer(at) => {
                next.budget.lost_answers -= 1;
                next.go(self, at, false);
            }
            Action::Kill(at, repeated) => {
                next.budget.kills -= 1;
                next.kill(at, repeated);
            }
            Action::Look => {
                next.budget.looks -= 1;
                next.looked = Some(Looked { online: next.is_listed(), version: 0 });
            }
            Action::Lapse => {
                next.budget.lapses -= 1;
                next.disturbed = true;
                next.now += LEASE;
            }
            Action::Settle => next.settle(self),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            // Each transition changes the mark, so transitions alternate, and so do their announcements.
            Property::always("what is announced has happened, and is announced once", |_, state: &State| {
                !state.announced_wrongly
            }),
            Property::always("when all is quiet every transition is announced", |_, state: &State| {
                !state.is_quiet() || state.made.values().all(|announced| *announced)
            }),
            Property::always("when all is quiet the last one says who is connected", |_, state: &State| {
                let shown = state.shown.is_some_and(|shown| shown.offline_since.is_none());
                let looked = state.looked.map_or(state.is_online(), |looked| looked.online);
                let said = [shown, looked, state.is_listed(), state.item.online];
                !state.is_quiet() || said.map(|on| on == state.is_online()) == [true; 4]
            }),
            Property::always("who is revoked is not connected", |_, state: &State| {
                !state.is_quiet() || !state.is_revoked || !state.is_online()
            }),
            Property::always("a user who is offline leaves nothing to do", |_, state: &State| {
                !state.settled || state.item.sweep_at().is_some() == state.item.online
            }),
            Property::sometimes("somebody goes offline", |_, state: &State| {
                state.shown.is_some_and(|shown| shown.offline_since.is_some())
            }),
        ]
    }
}

fn explore(connections: usize, budget: Budget, was_it_me: WasItMe) -> impl Checker<Presence> {
    let name = format!("{connections} connections, {budget:?}, {was_it_me:?}");
    let checker = Presence { connections, budget, was_it_me }.checker().threads(2).spawn_bfs().join();
    println!("{} states of {name}", checker.unique_state_count());
    checker
}

/// Explores the rules as they are, which have to hold.
fn holds(connections: usize, budget: Budget) {
    explore(connections, budget, WasItMe::ByToken).assert_properties();
}

#[test]
fn connects_disconnects_pings_and_sweeps_come_in_every_order() {
    holds(3, Budget { pings: 1, sweeps: 1, ..Budget::default() });
}

#[test]
fn leases_expire() {
    holds(3, Budget { sweeps: 1, lapses: 1, ..Budget::default() });
    holds(2, Budget { pings: 2, sweeps: 1, lapses: 1, ..Budget::default() });
}

#[test]
fn invocations_are_killed() {
    holds(3, Budget { kills: 1, ..Budget::default() });
    holds(2, Budget { kills: 1, looks: 1, ..Budget::default() });
    holds(2, Budget { sweeps: 1, kills: 2, ..Budget::default() });
}

#[test]
fn connections_turn_out_to_be_gone() {
    holds(3, Budget { gone: 1, ..Budget::default() });
    holds(2, Budget { sweeps: 1, gone: 1, lapses: 1, kills: 1, ..Budget::default() });
}

#[test]
fn tokens_are_revoked() {
    holds(2, Budget { revocations: 1, sweeps: 1, kills: 1, ..Budget::default() });
    holds(2, Budget { revocations: 1, lost_answers: 1, ..Budget::default() });
}

#[test]
fn answers_to_writes_are_lost() {
    holds(2, Budget { sweeps: 1, lost_answers: 2, ..Budget::default() });
}

/// Takes a minute: `cargo test --lib -- --ignored`.
#[test]
#[ignore = "takes a minute; CI runs it"]
fn more_of_everything() {
    holds(3, Budget { lost_answers: 1, ..Budget::default() });
    holds(3, Budget { revocations: 1, ..Budget::default() });
    holds(2, Budget { pings: 1, sweeps: 1, lapses: 1, kills: 1, lost_answers: 1, ..Budget::default() });
}

/// A write used to be recognised by the id of the connection that it was about, which others leave too.
#[test]
fn a_write_that_is_recognised_by_a_connection_is_taken_for_another() {
    let checker = explore(2, Budget::default(), WasItMe::ByConnection);
    let wrong = "what is announced has happened, and is announced once";
    println!("{:?}", checker.assert_any_discovery(wrong).into_actions());
}
