//! The rules of leases and presence: what an event does to the item of a user.
//!
//! [`decide`] is a pure function from the item and an event to the new item and what is announced. Its caller
//! writes the new item if nobody has written it meanwhile; else it reads the item and decides again.
//! `rules/model.rs` explores every order in which that can happen.
//!
//! `$connect` stores the user in Postgres and then the connection in DynamoDB: a `$connect` that fails gets
//! no `$disconnect`, so it must not leave a lease behind. Time passing writes nothing, and a `$disconnect`
//! may be lost. So presence and pushes ignore expired leases (but for joined connections), and the sweep
//! looks each minute for users who are marked online without a valid lease, and for overdue announcements.
//!
//! A *transition* changes the online mark. The write that makes it also stores what is to be announced, under
//! a token of its own, until it is announced. So:
//! - an attempt recognises its own write by the token, although the answer was lost;
//! - the sweep finds and takes over a transition whose maker died before it was announced;
//! - transitions alternate, each has a higher version than the one before, and each is announced. Frames may
//!   overtake each other, so a client drops a frame with a lower version than one before;
//! - a late announcement does not override newer presence that a client has read. A transition is not pushed
//!   to connections that surely opened after its write (`presence.rs`), and what the sweep takes over is
//!   followed by the last transition, even if that was announced before.

use std::collections::BTreeMap;

use domain::ConnectionId;

use crate::table::{Lease, Millis};
use crate::user_item::{ANNOUNCED_WITHIN, Duty, Token, Transition, UserItem};

#[cfg(test)]
mod model;

/// An event of a user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Happened {
    /// A connection is about to open. If the user then has more than `max_connections`, the oldest lose their
    /// leases.
    Connects {
        /// The connection.
        connection: ConnectionId,
        /// When its token was issued, in seconds since 1970, if the token says so.
        token_issued_at: Option<i64>,
        /// The duration of its lease.
        lease: Millis,
        /// The maximum number of connections of the user.
        max_connections: usize,
    },
    /// A connection is closed.
    Disconnects {
        /// The connection.
        connection: ConnectionId,
    },
    /// A connection has sent a ping.
    Pings {
        /// The connection.
        connection: ConnectionId,
        /// The duration of its lease from now.
        lease: Millis,
    },
    /// A connection turned out to be gone (410).
    IsGone {
        /// The connection.
        connection: ConnectionId,
    },
    /// The sweep looks at the user.
    IsSwept,
    /// The tokens are revoked that were issued up to a second since 1970. All connections have to be closed.
    IsRevoked {
        /// The second.
        at: i64,
    },
    /// Connections were closed.
    AreClosed {
        /// The connections.
        connections: Vec<ConnectionId>,
    },
    /// The user is erased.
    IsErased,
    /// Transitions were announced.
    WasAnnounced {
        /// The token under which the item holds them.
        token: Token,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Decision {
    /// The new item; `None` if nothing changes.
    pub(crate) write: Option<UserItem>,
    /// What is to be announced after the write, and the token under which the item holds it.
    pub(crate) announce: Option<(Token, Vec<Transition>)>,
    /// Other connections whose leases have expired, and are removed. Of a revocation: all connections.
    pub(crate) expired: Vec<(ConnectionId, Lease)>,
    /// Other connections that are the oldest of too many, and whose leases are removed.
    pub(crate) surplus: Vec<(ConnectionId, Lease)>,
}

/// Decides what an event does to an item. `token` is new with every call.
pub(crate) fn decide(seen: &UserItem, happened: &Happened, now: Millis, token: Token) -> Decision {
    match happened {
        Happened::Connects { token_issued_at, .. } if seen.refuses(*token_issued_at) => Decision::nothing(),
        Happened::Connects { connection, lease, max_connections, .. } => {
            let lease = Lease { expires_at: now + lease, opened_at: now };
            connect(seen, connection, lease, *max_connections, token)
        }
        Happened::Disconnects { connection } => disconnect(seen, connection, now, token),
        Happened::Pings { connection, lease } => ping(seen, connection, now + lease),
        Happened::IsGone { connection } => forget(seen, connection),
        Happened::IsSwept => sweep(seen, now, token),
        Happened::IsRevoked { at } => revoke(seen, *at),
        Happened::IsErased => erase(seen),
        Happened::AreClosed { connections } => close(seen, connections, now, token),
        Happened::WasAnnounced { token } => announced(seen, token),
    }
}

/// Whether an attempt to write was carried out, judged by what is read after it. Its answer may have been
/// lost.
pub(crate) fn was_carried_out(attempt: &Decision, seen: &UserItem) -> bool {
    // An attempt that announces nothing leaves no token. To decide anew has the same result then, except
    // for the connections that it ended.
    attempt.announce.as_ref().is_some_and(|(token, _)| seen.unannounced.contains_key(token))
}

fn connect(
    seen: &UserItem,
    connection: &ConnectionId,
    lease: Lease,
    max_connections: usize,
    token: Token,
) -> Decision {
    let now = lease.opened_at;
    let mut next = seen.clone();
    next.leases.remove(connection);
    let expired = take_expired(&mut next, now);
    let mut by_age: Vec<_> = next.leases.iter().map(|(id, lease)| (id.clone(), *lease)).collect();
    by_age.sort_by_key(|(_, lease)| lease.opened_at);
    let surplus = (by_age.len() + 1).saturating_sub(max_connections).min(by_age.len());
    by_age.truncate(surplus);
    next.leases.retain(|id, _| by_age.iter().all(|(old, _)| old != id));
    next.leases.insert(connection.clone(), lease);
    let goes = (!seen.online).then_some(Goes::Online);
    Decision { expired, surplus: by_age, ..write(next, goes, Vec::new(), now, token) }
}

/// Removes the lease of the connection and all expired leases: a connection that missed its time does not
/// come back by itself. If no lease is left, the user goes offline.
fn disconnect(seen: &UserItem, connection: &ConnectionId, now: Millis, token: Token) -> Decision {
    let mut next = seen.clone();
    let held = next.leases.remove(connection).is_some();
    let expired = take_expired(&mut next, now);
    let goes_offline = seen.online && next.leases.is_empty();
    if !held && expired.is_empty() && !goes_offline {
        return Decision::nothing();
    }
    let goes = goes_offline.then_some(Goes::Offline { since: now });
    Decision { expired, ..write(next, goes, Vec::new(), now, token) }
}

/// Renews a lease, even if it has expired. It does nothing for a user who is offline: only a connect takes a
/// user online.
fn ping(seen: &UserItem, connection: &ConnectionId, expires_at: Millis) -> Decision {
    let mut next = seen.clone();
    match next.leases.get_mut(connection) {
        Some(lease) if seen.online => lease.expires_at = expires_at,
        _ => return Decision::nothing(),
    }
    Decision::unannounced(next)
}

/// Removes a lease and nothing else. If it was the last one, the sweep takes the user offline.
fn forget(seen: &UserItem, connection: &ConnectionId) -> Decision {
    let mut next = seen.clone();
    if next.leases.remove(connection).is_none() {
        return Decision::nothing();
    }
    Decision::unannounced(next)
}

/// Takes a user offline whose leases have all expired, and takes over announcements that are overdue.
fn sweep(seen: &UserItem, now: Millis, token: Token) -> Decision {
    let mut next = seen.clone();
    let is_overdue = |duty: &Duty| duty.since + ANNOUNCED_WITHIN <= now;
    let overdue: Vec<_> = next.unannounced.values().filter(|duty| is_overdue(duty)).cloned().collect();
    next.unannounced.retain(|_, duty| !is_overdue(duty));
    let mut owed: Vec<_> = overdue.into_iter().flat_map(|duty| duty.transitions).collect();
    owed.sort();
    if seen.online && seen.unexpired(now).next().is_none() {
        // There may be no lease: that of a connection that turned out to be gone was removed.
        let last_lease = seen.leases.values().map(|lease| lease.expires_at).max();
        let goes = Goes::Offline { since: last_lease.unwrap_or(now).min(now) };
        let expired = take_expired(&mut next, now);
        return Decision { expired, ..write(next, Some(goes), owed, now, token) };
    }
    if owed.is_empty() && next == *seen {
        return Decision::nothing();
    }
    if owed.last() < seen.transition.as_ref() {
        owed.extend(seen.transition);
    }
    write(next, None, owed, now, token)
}

/// Refuses connections whose tokens were verified before this and which are stored after it. Those that are
/// there keep their leases until they are closed, so that a repeat finds them if this invocation is killed
/// before that.
fn revoke(seen: &UserItem, at: i64) -> Decision {
    let mut next = seen.clone();
    next.revoked_at = next.revoked_at.max(Some(at));
    let ended = seen.leases.iter().map(|(id, lease)| (id.clone(), *lease)).collect();
    let write = (next != *seen).then_some(next);
    let decision = write.map_or_else(Decision::nothing, Decision::unannounced);
    Decision { expired: ended, ..decision }
}

/// Removes the leases of connections that were closed. If no lease is left, the user goes offline.
fn close(seen: &UserItem, closed: &[ConnectionId], now: Millis, token: Token) -> Decision {
    let mut next = seen.clone();
    next.leases.retain(|id, _| !closed.contains(id));
    let goes_offline = seen.online && next.leases.is_empty();
    if next == *seen && !goes_offline {
        return Decision::nothing();
    }
    write(next, goes_offline.then_some(Goes::Offline { since: now }), Vec::new(), now, token)
}

/// Forgets when the user was there. An announcement that is to be made comes first.
fn erase(seen: &UserItem) -> Decision {
    let mut next = seen.clone();
    if seen.online || !seen.unannounced.is_empty() {
        return Decision::nothing();
    }
    (next.last_seen_at, next.transition) = (None, None);
    if next == *seen { Decision::nothing() } else { Decision::unannounced(next) }
}

fn announced(seen: &UserItem, token: &Token) -> Decision {
    let mut next = seen.clone();
    if next.unannounced.remove(token).is_none() {
        return Decision::nothing();
    }
    Decision::unannounced(next)
}

impl Decision {
    pub(crate) fn nothing() -> Self {
        Self { write: None, announce: None, expired: Vec::new(), surplus: Vec::new() }
    }

    /// Writes an item without a transition.
    fn unannounced(mut next: UserItem) -> Self {
        next.version += 1;
        Self { write: Some(next), ..Self::nothing() }
    }

    /// Adds the connections that an earlier attempt ended. It is unknown whether that attempt was carried
    /// out; if it was, nothing else closes them.
    pub(crate) fn after(mut self, attempt: Self) -> Self {
        let is_there =
            |id: &ConnectionId| self.write.as_ref().is_some_and(|item| item.leases.contains_key(id));
        self.expired.extend(attempt.expired.into_iter().filter(|(id, _)| !is_there(id)));
        self.surplus.extend(attempt.surplus.into_iter().filter(|(id, _)| !is_there(id)));
        for connections in [&mut self.expired, &mut self.surplus] {
            connections.sort_by(|(one, _), (other, _)| one.cmp(other));
            connections.dedup_by(|(one, _), (other, _)| one == other);
        }
        self
    }
}

/// Removes the expired leases from an item.
fn take_expired(item: &mut UserItem, now: Millis) -> Vec<(ConnectionId, Lease)> {
    let (hold, expired): (BTreeMap<_, _>, BTreeMap<_, _>) =
        std::mem::take(&mut item.leases).into_iter().partition(|(_, lease)| lease.expires_at > now);
    item.leases = hold;
    expired.into_iter().collect()
}

/// The direction of a transition.
enum Goes {
    Online,
    Offline { since: Millis },
}

/// Writes `next`, with a transition if the user goes online or offline. It is announced after the `owed`
/// ones.
fn write(
    mut next: UserItem,
    goes: Option<Goes>,
    owed: Vec<Transition>,
    now: Millis,
    token: Token,
) -> Decision {
    next.version += 1;
    let mut transitions = owed;
    if let Some(goes) = goes {
        let offline_since = match goes {
            Goes::Online => None,
            Goes::Offline { since } => Some(since),
        };
        next.online = offline_since.is_none();
        next.last_seen_at = offline_since.or(next.last_seen_at);
        let transition = Transition { version: next.version, at: now, offline_since };
        next.transition = Some(transition);
        transitions.push(transition);
    }
    let announce = (!transitions.is_empty()).then(|| {
        let duty = Duty { since: now, transitions: transitions.clone() };
        next.unannounced.insert(token.clone(), duty);
        (token, transitions)
    });
    Decision { write: Some(next), announce, ..Decision::nothing() }
}
