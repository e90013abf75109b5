-- Blocks a user, or ends that. Either may be repeated.
--
-- $1 caller    $2 the other    $3 whether the caller blocks them
-- $4 the most users that one may block    $5 when the token was issued
--
-- The rows of both users are locked already, so nobody else changes the blocks between them, and nobody makes
-- a conversation of the two meanwhile.
with
    other as (
        select id from users where id = $2 and erased_at is null
    ),
    blocked as (
        insert into blocks (user_id, blocked_id)
        select $1, id
        from other
        where $3 and (select count(*) from blocks where user_id = $1 and blocked_id <> $2) < $4
        on conflict on constraint blocks_pkey do nothing
        returning blocked_id
    ),
    unblocked as (
        delete from blocks where not $3 and user_id = $1 and blocked_id = $2 returning blocked_id
    ),
    changed as (
        select blocked_id from blocked union all select blocked_id from unblocked
    ),
    counted as (
        update users
        set block_changes = block_changes + 1
        where id in ($1, $2) and exists (select from changed)
    ),
    -- The snapshot does not show what this changes.
    standing as (
        select
            exists (select from blocked)
                or ($3 and exists (select from blocks where user_id = $1 and blocked_id = $2)) as is_blocking,
            exists (select from blocks where user_id = $2 and blocked_id = $1) as is_blocked
    ),
    direct as (
        select id, roster
        from conversations
        where first_user_id = least($1, $2 collate "C") and second_user_id = greatest($1, $2 collate "C")
    ),
    -- A send that waits for this row finds the roster changed, and looks again.
    closed as (
        update conversations
        set is_blocked = standing.is_blocking or standing.is_blocked, roster = conversations.roster + 1
        from standing, direct
        where conversations.id = direct.id and exists (select from changed)
        returning conversations.roster
    )
select
    exists (select from other) as other_exists,
    standing.is_blocking,
    standing.is_blocking or standing.is_blocked as are_apart,
    direct.id as direct_id,
    coalesce((select roster from closed), direct.roster) as direct_roster,
    array(
        select own.conversation_id
        from participants as own
        join participants as theirs
          on theirs.conversation_id = own.conversation_id and theirs.user_id = $2
        join conversations on conversations.id = own.conversation_id and conversations.title is not null
        where own.user_id collate "POSIX" = $1
    ) as shared_ids
from standing
left join direct on true
where (select token_revoked() from revocations where user_id = $1 and revoked_at >= $5) is null
