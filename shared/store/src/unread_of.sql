-- What a participant has not read of a conversation: how many messages, and the latest one of others. Returns
-- nothing if that is nothing above a seq.
--
-- $1 conversation    $2 user    $3 seq
select
    conversations.last_seq - participants.read_up_to
        - (participants.sent - participants.sent_read) as unread_count,
    message.id
from participants
join conversations on conversations.id = participants.conversation_id
cross join lateral (
    select id
    from messages
    where conversation_id = $1 and seq > participants.read_up_to and seq >= participants.first_seq
      and sender_id <> $2
    order by seq desc
    limit 1
) as message
where participants.conversation_id = $1 and participants.user_id = $2 and participants.read_up_to < $3
