-- The conversations of a user that have the latest activity, each with its last seq and its last change.
--
-- $1 user    $2 number of conversations
--
-- Reads whole days, as conversations_of.sql does.
with
    earliest as (
        select active_on
        from participants
        where user_id collate "POSIX" = $1
        order by active_on desc
        offset $2 - 1
        limit 1
    )
select conversation.id, conversation.last_seq, conversation.last_change
from participants
cross join lateral (
    select id, last_seq, last_change,
           case when last_seq >= participants.first_seq then last_message_at
                else participants.joined_at end as activity
    from conversations
    where id = participants.conversation_id
    limit 1
) as conversation
where participants.user_id collate "POSIX" = $1
  and participants.active_on >= coalesce((select active_on from earliest), '-infinity')
order by conversation.activity desc, conversation.id desc
limit $2
