-- Reads a page of a conversation, and moves the position of the reader to its end. Returns nothing to a user
-- who does not take part. A cursor that the reader does not see finds no page and moves nothing.
--
-- $1 conversation    $2 reader
-- $3, $4 cursor: the id of a message, or a seq; one of them is null
-- $5 whether the page ends before the cursor; else it begins after it
-- $6 number of messages    $7 whether the position moves    $8 when the token was issued
--
-- One row, without a message, tells where the conversation stands. The others are the messages, in any order:
-- to repeat the first columns in each would take longer than to read the messages.
with
    seen as (
        select conversations.last_seq, conversations.last_change, conversations.first_user_id,
               conversations.second_user_id, conversations.is_blocked, participants.first_seq,
               participants.read_up_to,
               coalesce($4, (
                   select seq
                   from messages
                   where id = $3 and conversation_id = $1 and seq >= participants.first_seq
               )) as cursor
        from participants
        join conversations on conversations.id = participants.conversation_id
        where participants.conversation_id = $1 and participants.user_id = $2
          and (select token_revoked() from revocations where user_id = $2 and revoked_at >= $8) is null
        -- Changes no result: it keeps the planner from looking up the cursor once for each use.
        offset 0
    ),
    -- The first and the last seq of the page: there are no gaps between.
    page as materialized (
        select *,
               greatest(first_seq, case when $5 then least(cursor - 1, last_seq) - $6 + 1 else cursor + 1 end)
                   as from_seq,
               case when $5 then least(cursor - 1, last_seq) else greatest(cursor + 1, first_seq) + $6 - 1 end
                   as to_seq,
               case when $7 and read_up_to < last_seq and cursor is not null then
                   move_position($1, $2, last_seq)
               end as moved
        from seen
    ),
    found as materialized (
        select id, seq, sender_id, content, client_message_id, created_at, reply_to, metadata, reactions,
               edited_at, deleted_at, change
        from messages
        where conversation_id = $1 and seq >= (select from_seq from page) and seq <= (select to_seq from page)
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
            from page
        )::text[])
    ),
    -- In a conversation of two: the marks within the page, and the first one behind it. Each of the two has
    -- no more marks in a page than the page has messages.
    marks as (
        select array_agg(mark.user_id) as user_ids, array_agg(mark.up_to_seq) as seqs,
               array_agg(mark.read_at) as times
        from page
        cross join lateral (values (page.first_user_id), (page.second_user_id)) as pair (user_id)
        cross join lateral (
            select user_id, up_to_seq, read_at
            from read_marks
            where not page.is_blocked
              and conversation_id = $1 and user_id = pair.user_id and up_to_seq >= page.from_seq
            order by up_to_seq
            limit $6 + 1
        ) as mark
    )
select
    page.first_user_id, page.second_user_id, page.is_blocked, page.first_seq, page.last_change,
    page.last_seq as up_to,
    coalesce((page.moved).at, clock_timestamp()) as at, coalesce((page.moved).reads, false) as changed,
    page.cursor is not null as cursor_found,
    marks.user_ids as mark_user_ids, marks.seqs as mark_seqs, marks.times as mark_times,
    null::uuid as id, null::uuid as conversation_id, null::bigint as seq, null as content,
    null as client_message_id, null::timestamptz as created_at, null::uuid as reply_to, null as metadata,
    null as reactions, null::timestamptz as edited_at, null::timestamptz as deleted_at,
    null::bigint as change,
    null as sender_id, null as sender_name, null as sender_display_name, null as sender_avatar_url
from page
cross join marks
union all
select
    null, null, null, null, null, null, null, null, null, null, null, null,
    found.id, $1, found.seq, found.content, found.client_message_id, found.created_at, found.reply_to,
    found.metadata, found.reactions, found.edited_at, found.deleted_at, found.change,
    sender.id, sender.name, sender.display_name, sender.avatar_url
from found
join senders as sender on sender.id = found.sender_id
