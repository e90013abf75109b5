-- Reads a page of a conversation, and moves the position of the reader to its end. Returns nothing to a user
-- who does not take part. A cursor that the reader does not see finds no page and moves nothing.
--
-- $1 conversation    $2 reader
-- $3, $4 cursor: the id of a message, or a seq; one of them is null
-- $5 whether the page ends before the cursor; else it begins after it
-- $6 number of messages    $7 whether the position moves
with
    seen as (
        select conversations.last_seq, conversations.last_change,
               conversations.first_user_id, conversations.second_user_id,
               participants.first_seq, participants.read_up_to, participants.sent,
               participants.sent_read,
               coalesce($4, (
                   select seq
                   from messages
                   where id = $3 and conversation_id = $1 and seq >= participants.first_seq
               )) as cursor
        from participants
        join conversations on conversations.id = participants.conversation_id
        where participants.conversation_id = $1 and participants.user_id = $2
    ),
    -- As in mark_read.sql, but up to the last message.
    moved as (
        update participants
        set read_up_to = seen.last_seq, sent_read = greatest(participants.sent_read, seen.sent)
        from seen
        where $7 and participants.conversation_id = $1 and participants.user_id = $2
          and participants.read_up_to < seen.last_seq and seen.cursor is not null
        returning participants.read_up_to, clock_timestamp() as at,
                  -- Whether it has passed messages of others.
                  participants.read_up_to - seen.read_up_to > participants.sent_read - seen.sent_read as reads
    ),
    marked as (
        insert into read_marks (conversation_id, user_id, up_to_seq, read_at)
        select $1, $2, moved.read_up_to, moved.at
        from moved
        join seen on seen.first_user_id is not null
        where moved.reads
    ),
    -- $5 selects one of the two; the other is not executed.
    found as materialized (
        (
            select id, seq, sender_id, content, client_message_id, created_at, reply_to, metadata,
                   reactions, edited_at, deleted_at, change
            from messages
            where $5 and conversation_id = $1
              and seq < (select cursor from seen) and seq >= (select first_seq from seen)
            order by seq desc
            limit $6
        )
        union all
        (
            select id, seq, sender_id, content, client_message_id, created_at, reply_to, metadata,
                   reactions, edited_at, deleted_at, change
            from messages
            where not $5 and conversation_id = $1
              and seq > (select cursor from seen) and seq >= (select first_seq from seen)
            order by seq
            limit $6
        )
    ),
    -- By their keys: the planner might otherwise join the page to all users.
    senders as materialized (
        select id, name, display_name, avatar_url
        from users
        where id = any ((
            select case
                when first_user_id is not null then array[first_user_id, second_user_id]
                else array(select distinct sender_id from found)
            end
            from seen
        )::text[])
    ),
    first as materialized (
        select min(seq) as seq from found
    ),
    -- In a conversation of two: the marks within the page, and the first one behind it. Each of the two has
    -- no more marks in a page than the page has messages.
    marks as (
        select array_agg(mark.user_id) as user_ids, array_agg(mark.up_to_seq) as seqs,
               array_agg(mark.read_at) as times
        from seen
        cross join first
        cross join lateral (values (seen.first_user_id), (seen.second_user_id)) as pair (user_id)
        cross join lateral (
            select user_id, up_to_seq, read_at
            from read_marks
            where conversation_id = $1 and user_id = pair.user_id and up_to_seq >= first.seq
            order by up_to_seq
            limit $6 + 1
        ) as mark
    )
select
    seen.first_user_id, seen.second_user_id, seen.first_seq, seen.last_change, seen.last_seq as up_to,
    coalesce(moved.at, clock_timestamp()) as at, coalesce(moved.reads, false) as changed,
    seen.cursor is not null as cursor_found,
    -- With the first message only: once is enough.
    marks.user_ids as mark_user_ids, marks.seqs as mark_seqs, marks.times as mark_times,
    found.id, $1 as conversation_id, found.seq, found.content, found.client_message_id, found.created_at,
    found.reply_to, found.metadata, found.reactions, found.edited_at, found.deleted_at, found.change,
    sender.id as sender_id, sender.name as sender_name, sender.display_name as sender_display_name,
    sender.avatar_url as sender_avatar_url
from seen
left join moved on true
left join found on true
left join senders as sender on sender.id = found.sender_id
left join (first cross join marks) on first.seq = found.seq
order by found.seq
