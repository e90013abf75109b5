-- One page of the conversations of a user, newest activity first.
--
-- $1 user    $2, $3 activity and id of the last conversation of the page before    $4 number of conversations
with
    -- Each side of the pair is read from its own index, from the cursor on, and the two are merged: as many rows
    -- as the page has, twice, however many conversations there are.
    page as (
        select id, last_seq, activity, other_id
        from (
            (
                select id, last_seq, coalesce(last_message_at, created_at) as activity,
                       second_user_id as other_id
                from conversations
                where first_user_id = $1 and (coalesce(last_message_at, created_at), id) < ($2, $3)
                order by coalesce(last_message_at, created_at) desc, id desc
                limit $4
            )
            union all
            (
                select id, last_seq, coalesce(last_message_at, created_at), first_user_id
                from conversations
                where second_user_id = $1 and (coalesce(last_message_at, created_at), id) < ($2, $3)
                order by coalesce(last_message_at, created_at) desc, id desc
                limit $4
            )
        ) as sides
        order by activity desc, id desc
        limit $4
    )
select
    page.id as page_id, page.last_seq, page.activity, participants.unread_count,
    other.id as other_id, other.name as other_name, other.display_name as other_display_name,
    other.avatar_url as other_avatar_url,
    messages.id, messages.conversation_id, messages.seq, messages.content, messages.client_message_id,
    messages.created_at, messages.read_at,
    sender.id as sender_id, sender.name as sender_name, sender.display_name as sender_display_name,
    sender.avatar_url as sender_avatar_url
from page
-- "limit 1" changes no result, since each of these finds one row by a key. It keeps the planner from reading
-- whole tables to join them to a page.
cross join lateral (
    select unread_count from participants where conversation_id = page.id and user_id = $1 limit 1
) as participants
cross join lateral (
    select id, name, display_name, avatar_url from users where users.id = page.other_id limit 1
) as other
left join lateral (
    select id, conversation_id, seq, sender_id, content, client_message_id, created_at, read_at
    from messages
    where conversation_id = page.id and seq = page.last_seq
    limit 1
) as messages on true
left join lateral (
    select id, name, display_name, avatar_url from users where users.id = messages.sender_id limit 1
) as sender on true
order by page.activity desc, page.id desc
