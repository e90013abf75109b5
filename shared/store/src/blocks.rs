//! Users who block each other.
//!
//! A block is a row of `blocks`, and a mark on the row of the conversation of two, which sends, edits and
//! joins read or lock anyway. The room of a group of up to 80 participants in DynamoDB holds which of the
//! joined users block each other, so that typing still takes one read. A join reads the blocks before and
//! after it enters the room, as it does for removals ([`crate::groups`]).

use domain::{ConversationId, Failure, Identity, UserId};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::pool::{Connection, Store};
use crate::rows;
use crate::users::issued_at;

/// The most users that one may block.
pub const MAX_BLOCKED: i64 = 1000;

/// What is between two users after one has blocked the other or has ended that.
#[derive(Clone, Debug)]
pub struct Blocked {
    /// Whether one of them blocks the other.
    pub are_apart: bool,
    /// Their conversation, and how often its participants were added, removed or blocked.
    pub direct: Option<(ConversationId, i64)>,
    /// The groups that both take part in.
    pub shared: Vec<ConversationId>,
}

/// Why a user is not blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockRefusal {
    /// There is no such user.
    NoSuchUser,
    /// The caller blocks [`MAX_BLOCKED`] others already.
    TooMany,
}

impl Store {
    /// Blocks a user, or ends that if `blocks` is false. Either may be repeated.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn set_block(
        &self,
        caller: &Identity,
        other: &UserId,
        blocks: bool,
    ) -> Result<Result<Blocked, BlockRefusal>, Failure> {
        self.run(|connection| async move { set_block(&connection, caller, other, blocks).await }).await
    }

    /// Whether one of two users blocks the other.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn are_apart(&self, one: &UserId, other: &UserId) -> Result<bool, Failure> {
        self.run(|connection| async move {
            let parameters = [(&one.as_str() as _, Type::TEXT), (&other.as_str() as _, Type::TEXT)];
            let row = connection.row("select are_apart($1, $2)", &parameters).await?;
            row.expect("it is one row").try_get(0)
        })
        .await
    }

    /// The users whom a user blocks, by their ids.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn blocked_by(&self, caller: &Identity) -> Result<Vec<UserId>, Failure> {
        self.run(|connection| async move { blocked_by(&connection, caller).await }).await
    }
}

async fn set_block(
    connection: &Connection,
    caller: &Identity,
    other: &UserId,
    blocks: bool,
) -> Result<Result<Blocked, BlockRefusal>, tokio_postgres::Error> {
    let (user, other) = (caller.user_id.as_str(), other.as_str());
    let row = connection
        .row_after_lock(
            include_str!("lock_users.sql"),
            &[(&user, Type::TEXT), (&other, Type::TEXT)],
            include_str!("set_block.sql"),
            &[
                (&user, Type::TEXT),
                (&other, Type::TEXT),
                (&blocks, Type::BOOL),
                (&MAX_BLOCKED, Type::INT8),
                (&issued_at(caller), Type::INT8),
            ],
        )
        .await?
        .expect("it is one row");
    if !row.try_get::<_, bool>("other_exists")? {
        return Ok(Err(BlockRefusal::NoSuchUser));
    }
    if blocks && !row.try_get::<_, bool>("is_blocking")? {
        return Ok(Err(BlockRefusal::TooMany));
    }
    let direct: Option<Uuid> = row.try_get("direct_id")?;
    let shared: Vec<Uuid> = row.try_get("shared_ids")?;
    Ok(Ok(Blocked {
        are_apart: row.try_get("are_apart")?,
        direct: match direct {
            Some(id) => Some((id.into(), row.try_get("direct_roster")?)),
            None => None,
        },
        shared: shared.into_iter().map(Into::into).collect(),
    }))
}

async fn blocked_by(
    connection: &Connection,
    caller: &Identity,
) -> Result<Vec<UserId>, tokio_postgres::Error> {
    let sql = "select blocked_id from blocks where user_id = $1 \
            and (select token_revoked() from revocations where user_id = $1 and revoked_at >= $2) is null \
        order by blocked_id";
    let parameters = [(&caller.user_id.as_str() as _, Type::TEXT), (&issued_at(caller) as _, Type::INT8)];
    let rows = connection.rows(sql, &parameters).await?;
    rows.iter().map(|row| rows::user_id(row, "blocked_id")).collect()
}
