-- A message.
--
-- $1 message
select
    message.id, message.conversation_id, message.seq, message.content, message.client_message_id,
    message.created_at, mark.read_at, message.reply_to, message.metadata, message.reactions,
    message.edited_at, message.deleted_at, message.change,
    sender.id as sender_id, sender.name as sender_name, sender.display_name as sender_display_name,
    sender.avatar_url as sender_avatar_url
from messages as message
join conversations on conversations.id = message.conversation_id
join users as sender on sender.id = message.sender_id
left join lateral (
    select read_at
    from read_marks
    where conversation_id = conversations.id
      and user_id = case when conversations.first_user_id = message.sender_id
                         then conversations.second_user_id else conversations.first_user_id end
      and up_to_seq >= message.seq
    order by up_to_seq
    limit 1
) as mark on true
where message.id = $1
