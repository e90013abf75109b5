-- Moves the position of a reader, up to a seq. Returns nothing to a user who does not take part.
--
-- $1 conversation    $2 reader    $3 the last seq that is read
--
-- Costs the same however many messages the position passes, unless the reader has sent some since it last
-- moved.
with
    seen as (
        select conversations.first_user_id, conversations.second_user_id, conversations.is_blocked,
               participants.read_up_to,
               least($3, conversations.last_seq) as up_to
        from participants
        join conversations on conversations.id = participants.conversation_id
        where participants.conversation_id = $1 and participants.user_id = $2
    )
select seen.first_user_id, seen.second_user_id, seen.is_blocked, seen.up_to,
       coalesce((moved.position).at, clock_timestamp()) as at,
       -- Whether it has passed messages of others.
       coalesce((moved.position).reads, false) as changed
from seen
-- "offset 0" changes no result: it keeps the planner from calling the function once for each column.
cross join lateral (
    select case when seen.read_up_to < seen.up_to then move_position($1, $2, seen.up_to) end as position
    offset 0
) as moved
