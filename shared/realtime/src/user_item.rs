//! The item of a user: parsed into a [`UserItem`], and written as the difference between two of them.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use domain::{ConnectionId, UserId};

use crate::table::{
    Item, LAST_SEEN_AT, Lease, Millis, ONLINE, ONLINE_SHARD, REVOKED_AT, SWEEP_AT, TRANSITION, UNANNOUNCED,
    VERSION, lease, lease_attribute, number, read_number, shard, user_of,
};

/// An announcement is overdue after this: no invocation spends so long on one user, so the one that had to
/// announce it has given up.
pub(crate) const ANNOUNCED_WITHIN: Millis = 30_000;

/// The names in a transition, and in an entry of `unannounced`.
const AT: &str = "at";
const SINCE: &str = "since";
const TRANSITIONS: &str = "transitions";

/// The item of a user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UserItem {
    pub(crate) user: UserId,
    /// The leases of the user's connections, also the expired ones.
    pub(crate) leases: BTreeMap<ConnectionId, Lease>,
    /// The online mark: whether the last transition was to online.
    pub(crate) online: bool,
    /// The last transition, if there was one.
    pub(crate) transition: Option<Transition>,
    /// One more with every write; 0 before the first.
    pub(crate) version: u64,
    /// The transitions that are to be announced, by the token of the attempt that has to do it.
    pub(crate) unannounced: BTreeMap<Token, Duty>,
    /// When the user last went offline.
    pub(crate) last_seen_at: Option<Millis>,
    /// Tokens that were issued up to this second since 1970 open no connection.
    pub(crate) revoked_at: Option<i64>,
}

/// The name of one attempt to write an item. It is used once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token(pub(crate) String);

impl Token {
    pub(crate) fn new() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }
}

/// Transitions that one attempt has made or taken over, and has to announce.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Duty {
    /// When the attempt wrote them.
    pub(crate) since: Millis,
    /// The transitions, in the order of their versions.
    pub(crate) transitions: Vec<Transition>,
}

/// A change of the online mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Transition {
    /// The version of the item with this change.
    pub(crate) version: u64,
    /// When it was made.
    pub(crate) at: Millis,
    /// When the user went offline, if they did.
    pub(crate) offline_since: Option<Millis>,
}

impl UserItem {
    /// The item of a user who is not in the table.
    pub(crate) fn absent(user: UserId) -> Self {
        Self {
            user,
            leases: BTreeMap::new(),
            online: false,
            transition: None,
            version: 0,
            unannounced: BTreeMap::new(),
            last_seen_at: None,
            revoked_at: None,
        }
    }

    /// Whether a token opens no connection that was issued at this second, or does not say when.
    pub(crate) fn refuses(&self, issued_at: Option<i64>) -> bool {
        self.revoked_at.is_some_and(|revoked_at| issued_at.is_none_or(|issued_at| issued_at <= revoked_at))
    }

    /// Parses an item, if it is one of a user.
    pub(crate) fn parse(item: &Item) -> Option<Self> {
        let unannounced = item.get(UNANNOUNCED).and_then(|value| value.as_m().ok());
        Some(Self {
            user: user_of(item)?,
            leases: item.iter().filter_map(|(name, value)| lease(name, value)).collect(),
            online: item.contains_key(ONLINE),
            transition: item.get(TRANSITION).and_then(Transition::parse),
            version: read_number(item, VERSION).unwrap_or(0),
            unannounced: unannounced
                .into_iter()
                .flatten()
                .filter_map(|(token, duty)| Some((Token(token.clone()), Duty::parse(duty.as_m().ok()?)?)))
                .collect(),
            last_seen_at: read_number(item, LAST_SEEN_AT),
            revoked_at: read_number(item, REVOKED_AT),
        })
    }

    /// The leases that are valid.
    pub(crate) fn unexpired(&self, now: Millis) -> impl Iterator<Item = (&ConnectionId, &Lease)> {
        self.leases.iter().filter(move |(_, lease)| lease.expires_at > now)
    }

    /// When the sweep has to look at the user: when the last lease expires, or when an announcement is
    /// overdue. `None` if the user is offline and everything is announced.
    pub(crate) fn sweep_at(&self) -> Option<Millis> {
        let latest_lease = self.leases.values().map(|lease| lease.expires_at).max();
        let goes_offline = self.online.then(|| latest_lease.unwrap_or(0));
        let overdue = self.unannounced.values().map(|duty| duty.since + ANNOUNCED_WITHIN);
        goes_offline.into_iter().chain(overdue).min()
    }

    /// Adds to an update what turns `self`, as it was read, into `next`. The update is conditional on the
    /// version that was read.
    pub(crate) fn replaced_by(
        &self,
        next: &Self,
        update: UpdateItemFluentBuilder,
    ) -> UpdateItemFluentBuilder {
        let mut change = Change { update, set: Vec::new(), remove: Vec::new() };
        change = change.set(VERSION, number(next.version));
        for (connection, lease) in &next.leases {
            if self.leases.get(connection) != Some(lease) {
                change = change.set(&lease_attribute(connection), (*lease).into());
            }
        }
        for connection in self.leases.keys().filter(|connection| !next.leases.contains_key(*connection)) {
            change = change.remove(&lease_attribute(connection));
        }
        if self.online != next.online {
            change = change.set_or_remove(ONLINE, next.online.then_some(AttributeValue::Bool(true)));
        }
        if self.transition != next.transition {
            change = change.set_or_remove(TRANSITION, next.transition.map(AttributeValue::from));
        }
        if self.unannounced != next.unannounced {
            change = change.set_or_remove(UNANNOUNCED, unannounced(&next.unannounced));
        }
        if self.last_seen_at != next.last_seen_at {
            change = change.set_or_remove(LAST_SEEN_AT, next.last_seen_at.map(number));
        }
        if self.revoked_at != next.revoked_at {
            change = change.set_or_remove(REVOKED_AT, next.revoked_at.map(number));
        }
        // Always written: a ping changes it without reading the item.
        change
            .set_or_remove(SWEEP_AT, next.sweep_at().map(number))
            .set_or_remove(ONLINE_SHARD, next.sweep_at().map(|_| shard(&next.user)))
            .on_version(self.version)
    }
}

impl Duty {
    fn parse(item: &Item) -> Option<Self> {
        let transitions = item.get(TRANSITIONS)?.as_l().ok()?.iter();
        let transitions = transitions.filter_map(Transition::parse).collect();
        Some(Self { since: read_number(item, SINCE)?, transitions })
    }
}

impl From<&Duty> for AttributeValue {
    fn from(duty: &Duty) -> Self {
        let transitions = duty.transitions.iter().copied().map(Self::from).collect();
        Self::M(Item::from([
            (SINCE.to_owned(), number(duty.since)),
            (TRANSITIONS.to_owned(), Self::L(transitions)),
        ]))
    }
}

impl Transition {
    fn parse(value: &AttributeValue) -> Option<Self> {
        let fields = value.as_m().ok()?;
        Some(Self {
            version: read_number(fields, VERSION)?,
            at: read_number(fields, AT)?,
            offline_since: read_number(fields, LAST_SEEN_AT),
        })
    }
}

impl From<Transition> for AttributeValue {
    fn from(transition: Transition) -> Self {
        let Transition { version, at, offline_since } = transition;
        let mut fields = Item::from([(VERSION.to_owned(), number(version)), (AT.to_owned(), number(at))]);
        fields.extend(offline_since.map(|since| (LAST_SEEN_AT.to_owned(), number(since))));
        Self::M(fields)
    }
}

/// The attribute `unannounced`. It is absent if it is empty, which a ping relies on.
fn unannounced(duties: &BTreeMap<Token, Duty>) -> Option<AttributeValue> {
    let entries = duties.iter().map(|(token, duty)| (token.0.clone(), duty.into()));
    (!duties.is_empty()).then(|| AttributeValue::M(entries.collect()))
}

/// An update expression under construction.
struct Change {
    update: UpdateItemFluentBuilder,
    set: Vec<String>,
    remove: Vec<String>,
}

impl Change {
    fn set(mut self, attribute: &str, value: AttributeValue) -> Self {
        let at = self.set.len();
        self.update = self
            .update
            .expression_attribute_names(format!("#set{at}"), attribute)
            .expression_attribute_values(format!(":set{at}"), value);
        self.set.push(format!("#set{at} = :set{at}"));
        self
    }

    fn remove(mut self, attribute: &str) -> Self {
        let at = self.remove.len();
        self.update = self.update.expression_attribute_names(format!("#remove{at}"), attribute);
        self.remove.push(format!("#remove{at}"));
        self
    }

    fn set_or_remove(self, attribute: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(attribute, value),
            None => self.remove(attribute),
        }
    }

    /// The update, conditional on this version of the item.
    fn on_version(self, seen: u64) -> UpdateItemFluentBuilder {
        let mut expression = format!("SET {}", self.set.join(", "));
        if !self.remove.is_empty() {
            expression.push_str(&format!(" REMOVE {}", self.remove.join(", ")));
        }
        let update =
            self.update.update_expression(expression).expression_attribute_names("#version", VERSION);
        match seen {
            0 => update.condition_expression("attribute_not_exists(#version)"),
            _ => update
                .condition_expression("#version = :seen")
                .expression_attribute_values(":seen", number(seen)),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::config::{BehaviorVersion, Config};
    use proptest::prelude::*;

    use super::*;
    use crate::table::{KEY, user_key};

    /// Items with connections and tokens from a small set, so that two of them share some.
    fn any_item() -> impl Strategy<Value = UserItem> {
        let lease = (1..9_u64, 1..9_u64).prop_map(|(expires_at, opened_at)| Lease { expires_at, opened_at });
        let connection = "[a-d]".prop_map(|id| ConnectionId::parse(id).unwrap());
        let transition = (1..9_u64, 1..9_u64, prop::option::of(1..9_u64))
            .prop_map(|(version, at, offline_since)| Transition { version, at, offline_since });
        let duty = (1..9_u64, prop::collection::vec(transition.clone(), 1..3))
            .prop_map(|(since, transitions)| Duty { since, transitions });
        (
            prop::collection::btree_map(connection, lease, 0..4),
            any::<bool>(),
            prop::option::of(transition),
            1..9_u64,
            prop::collection::btree_map("[a-c]".prop_map(Token), duty, 0..3),
            prop::option::of(1..9_u64),
            prop::option::of(1..9_i64),
        )
            .prop_map(
                |(leases, online, transition, version, unannounced, last_seen_at, revoked_at)| UserItem {
                    leases,
                    online,
                    transition,
                    version,
                    unannounced,
                    last_seen_at,
                    revoked_at,
                    ..UserItem::absent(UserId::parse("alice").unwrap())
                },
            )
    }

    /// Applies an update of the form `SET a = :a, … REMOVE b, …` to an item.
    fn carry_out(item: &mut Item, update: &UpdateItemFluentBuilder) {
        let names = update.get_expression_attribute_names().clone().unwrap();
        let values = update.get_expression_attribute_values().clone().unwrap();
        let expression = update.get_update_expression().clone().unwrap();
        let (set, remove) = expression.split_once(" REMOVE ").unwrap_or((&expression, ""));
        for assignment in set.strip_prefix("SET ").unwrap().split(", ") {
            let (name, value) = assignment.split_once(" = ").unwrap();
            item.insert(names[name].clone(), values[value].clone());
        }
        for name in remove.split(", ").filter(|name| !name.is_empty()) {
            item.remove(&names[name]);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(seen in any_item(), next in any_item()) {
            let config = Config::builder().behavior_version(BehaviorVersion::latest()).build();
            let client = Client::from_conf(config);
            let absent = UserItem::absent(seen.user.clone());
            let mut item = Item::from([(KEY.to_owned(), user_key(&seen.user))]);
            for (before, after) in [(&absent, &seen), (&seen, &next)] {
                carry_out(&mut item, &before.replaced_by(after, client.update_item()));
                prop_assert_eq!(UserItem::parse(&item), Some(after.clone()));
                prop_assert_eq!(read_number(&item, SWEEP_AT), after.sweep_at());
                prop_assert_eq!(item.contains_key(ONLINE_SHARD), after.sweep_at().is_some());
            }
        }
    }
}
