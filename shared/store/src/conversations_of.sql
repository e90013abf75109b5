-- One page of the conversations of a user, newest activity first.
--
-- $1 user    $2, $3 activity and id of the last conversation of the page before    $4 number of conversations
-- $5 when the token was issued
--
-- The index has the days of the activity, so the page reads whole days and sorts them: that of the cursor,
-- and as many before it as hold a page.
with
    earliest as (
        select active_on
        from participants
        where user_id collate "POSIX" = $1 and active_on < ($2 at time zone 'UTC')::date
        order by active_on desc
        offset $4 - 1
        limit 1
    ),
    -- Who has sent many of the latest messages.
    caller as materialized (
        select id, name, display_name, avatar_url from users where id = $1
    ),
    page as (
        select conversation.id, conversation.title, conversation.avatar_url, conversation.first_user_id,
               conversation.second_user_id, conversation.participant_count, conversation.last_seq,
               conversation.last_change, conversation.is_blocked, conversation.activity, participants.role,
               participants.first_seq, participants.read_up_to,
               conversation.last_seq - participants.read_up_to
                   - (participants.sent - participants.sent_read) as unread_count
        from participants
        -- "limit 1" changes no result, since each of these finds one row by a key. It keeps the planner from
        -- reading whole tables to join them to a page.
        cross join lateral (
            select id, title, avatar_url, first_user_id, second_user_id, participant_count, last_seq,
                   last_change, is_blocked,
                   case when last_seq >= participants.first_seq then last_message_at
                        else participants.joined_at end as activity
            from conversations
            where id = participants.conversation_id
            limit 1
        ) as conversation
        where participants.user_id collate "POSIX" = $1
          and participants.active_on <= ($2 at time zone 'UTC')::date
          and participants.active_on >= coalesce((select active_on from earliest), '-infinity')
          and (conversation.activity, conversation.id) < ($2, $3)
        order by conversation.activity desc, conversation.id desc
        limit $4
    )
select
    page.id as page_id, page.title, page.avatar_url, page.participant_count, page.last_seq, page.last_change,
    page.is_blocked, page.activity, page.role, page.first_seq, page.unread_count,
    other.id as other_id, other.name as other_name, other.display_name as other_display_name,
    other.avatar_url as other_avatar_url,
    message.id, message.conversation_id, message.seq, message.content, message.client_message_id,
    message.created_at, mark.read_at, message.reply_to, message.metadata, message.reactions,
    message.edited_at, message.deleted_at, message.change,
    message.sender_id,
    case message.sender_id
        when other.id then other.name when caller.id then caller.name else sender.name
    end as sender_name,
    case message.sender_id
        when other.id then other.display_name when caller.id then caller.display_name
        else sender.display_name
    end as sender_display_name,
    case message.sender_id
        when other.id then other.avatar_url when caller.id then caller.avatar_url else sender.avatar_url
    end as sender_avatar_url
from page
left join caller on true
left join lateral (
    select id, name, display_name, avatar_url
    from users
    where users.id = case when page.first_user_id = $1 then page.second_user_id else page.first_user_id end
    limit 1
) as other on true
left join lateral (
    select id, conversation_id, seq, sender_id, content, client_message_id, created_at, reply_to, metadata,
           reactions, edited_at, deleted_at, change
    from messages
    where conversation_id = page.id and seq = page.last_seq and page.last_seq >= page.first_seq
    limit 1
) as message on true
left join lateral (
    select name, display_name, avatar_url
    from users
    where users.id = message.sender_id
      and message.sender_id is distinct from other.id and message.sender_id is distinct from caller.id
    limit 1
) as sender on true
-- In a conversation of two, for what is read or is the user's own.
left join lateral (
    select read_at
    from read_marks
    where page.title is null and not page.is_blocked
      and (page.read_up_to >= message.seq or message.sender_id = $1)
      and conversation_id = page.id
      and user_id = case when message.sender_id = $1 then other.id else $1 end
      and up_to_seq >= message.seq
    order by up_to_seq
    limit 1
) as mark on true
where (select token_revoked() from revocations where user_id = $1 and revoked_at >= $5) is null
order by page.activity desc, page.id desc
