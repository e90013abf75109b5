-- Revokes all tokens that were issued to a user until now. Returns that time in seconds since 1970, the unit
-- of a token's `iat`.
--
-- $1 user
--
-- A clock that was set back does not make revoked tokens valid.
insert into revocations (user_id, revoked_at)
values ($1, floor(extract(epoch from clock_timestamp()))::bigint)
on conflict on constraint revocations_pkey do update set
    revoked_at = greatest(revocations.revoked_at, excluded.revoked_at)
returning revoked_at
