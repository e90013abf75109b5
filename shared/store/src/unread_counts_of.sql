-- How many messages each of some participants has not read.
--
-- $1 conversation    $2 users
select participants.user_id,
       conversations.last_seq - participants.read_up_to - (participants.sent - participants.sent_read)
           as unread_count
from conversations
join participants on participants.conversation_id = conversations.id
where conversations.id = $1 and participants.user_id = any ($2)
