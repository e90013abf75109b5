-- A page of the messages that a user has sent, also to conversations that they were removed from.
--
-- $1 user    $2, $3 conversation and seq of the last message of the page before    $4 number of messages
select
    message.id, message.conversation_id, message.seq, message.content, message.client_message_id,
    message.created_at, null::timestamptz as read_at, message.reply_to, message.metadata,
    -- Those are what others have written.
    null as reactions,
    message.edited_at, message.deleted_at, message.change,
    sender.id as sender_id, sender.name as sender_name, sender.display_name as sender_display_name,
    sender.avatar_url as sender_avatar_url
from (
    select conversation_id from participants where user_id collate "POSIX" = $1
    union
    select conversation_id from departures where user_id = $1
) as place
cross join lateral (
    select id, conversation_id, seq, content, client_message_id, created_at, reply_to, metadata, edited_at,
           deleted_at, change
    from messages
    where conversation_id = place.conversation_id and sender_id = $1
      and (conversation_id > $2 or (conversation_id = $2 and seq > $3))
    order by seq
    limit $4
) as message
join users as sender on sender.id = $1
where place.conversation_id >= $2
order by place.conversation_id, message.seq
limit $4
