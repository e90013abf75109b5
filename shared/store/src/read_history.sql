-- Reads a page of a conversation, and marks all messages of the other participant as read. Returns nothing to
-- a user who does not take part. A cursor that is not in the conversation finds no page and marks nothing.
--
-- $1 conversation    $2 reader
-- $3 cursor: the id of a message, or null
-- $4 whether the page ends before the cursor (or at the newest message); else it begins after the cursor
-- $5 number of messages
with
    cursor as (
        select seq from messages where id = $3 and conversation_id = $1
    ),
    conversation as (
        select id, first_user_id, second_user_id, last_seq,
               case when first_user_id = $2 then second_user_id else first_user_id end as other_id
        from conversations
        where id = $1 and $2 in (first_user_id, second_user_id)
    ),
    moment as materialized (
        select clock_timestamp() as at
    ),
    -- As in mark_read.sql, but all messages.
    marked as (
        update messages
        set read_at = moment.at
        from conversation, moment
        where messages.conversation_id = conversation.id
          and messages.sender_id = conversation.other_id
          and messages.read_at is null
          and ($3 is null or exists (select from cursor))
        returning messages.id
    ),
    counted as (
        update participants
        set unread_count = unread_count - (select count(*) from marked)
        where conversation_id = $1 and user_id = $2 and exists (select from marked)
    ),
    -- $4 selects one of the two; the other is not executed.
    found as (
        (
            select id, conversation_id, seq, sender_id, content, client_message_id, created_at, read_at
            from messages
            where $4 and conversation_id = (select id from conversation)
              and ($3 is null or exists (select from cursor))
              and seq < coalesce((select seq from cursor), 9223372036854775807)
            order by seq desc
            limit $5
        )
        union all
        (
            select id, conversation_id, seq, sender_id, content, client_message_id, created_at, read_at
            from messages
            where not $4 and conversation_id = (select id from conversation)
              and seq > (select seq from cursor)
            order by seq
            limit $5
        )
    ),
    -- Shows as read what this statement marks, although its snapshot does not.
    page as (
        select found.id, found.conversation_id, found.seq, found.sender_id, found.content,
               found.client_message_id, found.created_at,
               coalesce(found.read_at, case when marked.id is not null then moment.at end) as read_at
        from found
        cross join moment
        left join marked on marked.id = found.id
    ),
    -- Two rows by their keys: the planner might otherwise join the page to all users.
    senders as materialized (
        select users.id, users.name, users.display_name, users.avatar_url
        from conversation
        join users on users.id in (conversation.first_user_id, conversation.second_user_id)
    )
select
    conversation.first_user_id, conversation.second_user_id, conversation.last_seq as up_to, moment.at,
    exists (select from marked) as changed,
    $3 is null or exists (select from cursor) as cursor_found,
    page.id, page.conversation_id, page.seq, page.content, page.client_message_id, page.created_at,
    page.read_at,
    sender.id as sender_id, sender.name as sender_name, sender.display_name as sender_display_name,
    sender.avatar_url as sender_avatar_url
from conversation
cross join moment
left join page on true
left join senders as sender on sender.id = page.sender_id
order by page.seq
