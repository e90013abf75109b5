-- Reads a page of a conversation, and moves the position of the reader to its end. Returns nothing to a user who does
-- not take part. A cursor that the reader does not see finds no page and moves nothing.
--
-- $1 conversation    $2 reader
-- $3, $4 cursor: the id of a message, or a seq, or null both
-- $5 whether the page ends before the cursor (or at the newest message); else it begins after the cursor
-- $6 number of messages    $7 whether the position moves
with
    seen as (
        select conversations.id, conversations.last_seq, conversations.last_change,
               conversations.title is null as is_direct,
               conversations.first_user_id, conversations.second_user_id,
               participants.first_seq, participants.read_up_to, participants.sent
        from conversations
        join participants on participants.conversation_id = conversations.id and participants.user_id = $2
        where conversations.id = $1
    ),
    cursor as (
        select messages.seq
        from messages, seen
        where messages.id = $3 and messages.conversation_id = $1 and messages.seq >= seen.first_seq
        union all
        select $4 where $4 is not null
        union all
        select case when $5 then 9223372036854775807 else 0 end where $3 is null and $4 is null
    ),
    -- As in mark_read.sql, but up to the last message.
    moved as (
        update participants
        set read_up_to = seen.last_seq, sent_read = greatest(participants.sent_read, seen.sent)
        from seen, cursor
        where $7 and participants.conversation_id = $1 and participants.user_id = $2
          and participants.read_up_to < seen.last_seq
        returning participants.read_up_to, clock_timestamp() as at
    ),
    marked as (
        insert into read_marks (conversation_id, user_id, up_to_seq, read_at)
        select seen.id, $2, moved.read_up_to, moved.at from seen, moved where seen.is_direct
    ),
    -- $5 selects one of the two; the other is not executed.
    found as materialized (
        (
            select id, conversation_id, seq, sender_id, content, client_message_id, created_at
            from messages
            where $5 and conversation_id = (select id from seen)
              and seq < (select seq from cursor) and seq >= (select first_seq from seen)
            order by seq desc
            limit $6
        )
        union all
        (
            select id, conversation_id, seq, sender_id, content, client_message_id, created_at
            from messages
            where not $5 and conversation_id = (select id from seen)
              and seq > (select seq from cursor) and seq >= (select first_seq from seen)
            order by seq
            limit $6
        )
    ),
    -- By their keys: the planner might otherwise join the page to all users.
    senders as materialized (
        select id, name, display_name, avatar_url
        from users
        where id = any (array(select distinct sender_id from found))
    )
select
    seen.is_direct, seen.first_user_id, seen.second_user_id, seen.first_seq, seen.last_change,
    seen.last_seq as up_to, coalesce((select at from moved), clock_timestamp()) as at,
    exists (select from moved) as changed,
    exists (select from cursor) as cursor_found,
    found.id, found.conversation_id, found.seq, found.content, found.client_message_id, found.created_at,
    -- Shows as read what this statement marks, although its snapshot does not.
    coalesce(
        mark.read_at, case when seen.is_direct and found.sender_id <> $2 then (select at from moved) end
    ) as read_at,
    sender.id as sender_id, sender.name as sender_name, sender.display_name as sender_display_name,
    sender.avatar_url as sender_avatar_url
from seen
left join found on true
left join senders as sender on sender.id = found.sender_id
left join lateral (
    select read_at
    from read_marks
    where seen.is_direct and conversation_id = seen.id
      and user_id = case when found.sender_id = seen.first_user_id then seen.second_user_id
                         else seen.first_user_id end
      and up_to_seq >= found.seq
    order by up_to_seq
    limit 1
) as mark on true
order by found.seq
