-- Revokes the tokens of a user that were issued until now, in seconds since 1970 as tokens have it.
--
-- $1 user
--
-- A clock that was set back does not make revoked tokens valid.
insert into revocations (user_id, revoked_at)
values ($1, floor(extract(epoch from clock_timestamp()))::bigint)
on conflict on constraint revocations_pkey do update set
    revoked_at = greatest(revocations.revoked_at, excluded.revoked_at)
returning revoked_at
