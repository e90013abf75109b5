//! Who takes part in a conversation.

use crate::UserId;

/// The two users of a conversation in canonical order (byte-wise), so that a pair has one conversation whoever asks first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participants {
    first: UserId,
    second: UserId,
}

/// Nobody has a conversation with themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be another user")]
pub struct SameUser;

impl Participants {
    /// The pair of `one` and `other`, whatever their order.
    pub fn new(one: UserId, other: UserId) -> Result<Self, SameUser> {
        match one.cmp(&other) {
            std::cmp::Ordering::Less => Ok(Self { first: one, second: other }),
            std::cmp::Ordering::Greater => Ok(Self { first: other, second: one }),
            std::cmp::Ordering::Equal => Err(SameUser),
        }
    }

    /// The one whose id sorts first.
    pub fn first(&self) -> &UserId {
        &self.first
    }

    /// The other one.
    pub fn second(&self) -> &UserId {
        &self.second
    }

    /// Both, in canonical order.
    pub fn iter(&self) -> impl Iterator<Item = &UserId> {
        [&self.first, &self.second].into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    #[test]
    fn a_pair_is_the_same_from_both_sides() {
        assert_eq!(Participants::new(user("b"), user("a")), Participants::new(user("a"), user("b")));
    }

    #[test]
    fn order_is_byte_wise_as_in_the_database() {
        let pair = Participants::new(user("é"), user("Z")).unwrap();
        assert_eq!((pair.first().as_str(), pair.second().as_str()), ("Z", "é"));
    }

    #[test]
    fn nobody_talks_to_themselves() {
        assert_eq!(Participants::new(user("a"), user("a")), Err(SameUser));
    }
}
