-- A conversation, as one of its participants sees it. Returns nothing to a user who does not take part.
--
-- $1 conversation    $2 user    $3 when the token was issued
--
-- The columns are those of conversations_of.sql, without the activity.
select
    conversations.id as page_id, conversations.title, conversations.avatar_url,
    conversations.participant_count, conversations.last_seq, conversations.last_change,
    conversations.is_blocked,
    participants.role, participants.first_seq,
    conversations.last_seq - participants.read_up_to
        - (participants.sent - participants.sent_read) as unread_count,
    other.id as other_id, other.name as other_name, other.display_name as other_display_name,
    other.avatar_url as other_avatar_url,
    message.id, message.conversation_id, message.seq, message.content, message.client_message_id,
    message.created_at, mark.read_at, message.reply_to, message.metadata, message.reactions,
    message.edited_at, message.deleted_at, message.change,
    sender.id as sender_id, sender.name as sender_name, sender.display_name as sender_display_name,
    sender.avatar_url as sender_avatar_url
from conversations
join participants on participants.conversation_id = conversations.id and participants.user_id = $2
left join users as other
    on other.id = case when conversations.first_user_id = $2 then conversations.second_user_id
                       else conversations.first_user_id end
left join messages as message
    on message.conversation_id = conversations.id
   and message.seq = conversations.last_seq
   and message.seq >= participants.first_seq
left join users as sender on sender.id = message.sender_id
left join lateral (
    select read_at
    from read_marks
    where not conversations.is_blocked and conversation_id = conversations.id
      and user_id = case when message.sender_id = $2 then other.id else $2 end
      and up_to_seq >= message.seq
    order by up_to_seq
    limit 1
) as mark on true
where conversations.id = $1
  and (select token_revoked() from revocations where user_id = $2 and revoked_at >= $3) is null
