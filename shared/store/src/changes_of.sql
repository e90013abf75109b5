-- The messages of a conversation that have changed after a change, in the order of their latest changes, each
-- with the conversation's numbers. Returns nothing to a user who does not take part, and one row without a
-- message if nothing has changed.
--
-- $1 conversation    $2 user    $3 change    $4 number of messages    $5 when the token was issued
select
    conversations.last_change,
    message.id, message.conversation_id, message.seq, message.content, message.client_message_id,
    message.created_at, mark.read_at, message.reply_to, message.metadata, message.reactions,
    message.edited_at, message.deleted_at, message.change,
    sender.id as sender_id, sender.name as sender_name, sender.display_name as sender_display_name,
    sender.avatar_url as sender_avatar_url
from conversations
join participants on participants.conversation_id = conversations.id and participants.user_id = $2
left join lateral (
    select id, conversation_id, seq, sender_id, content, client_message_id, created_at, reply_to, metadata,
           reactions, edited_at, deleted_at, change
    from messages
    where conversation_id = $1 and change > $3 and seq >= participants.first_seq
    order by change
    limit $4
) as message on true
-- "limit 1" changes no result: it keeps the planner from joining whole tables.
left join lateral (
    select id, name, display_name, avatar_url from users where id = message.sender_id limit 1
) as sender on true
left join lateral (
    select read_at
    from read_marks
    where not conversations.is_blocked and conversation_id = $1
      and user_id = case when message.sender_id = conversations.first_user_id
                         then conversations.second_user_id else conversations.first_user_id end
      and up_to_seq >= message.seq
    order by up_to_seq
    limit 1
) as mark on true
where conversations.id = $1
  and (select token_revoked() from revocations where user_id = $2 and revoked_at >= $5) is null
order by message.change
