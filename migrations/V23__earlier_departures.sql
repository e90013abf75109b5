-- Those from before V22. It reads all messages, and locks nothing but what it writes.
insert into departures (user_id, conversation_id)
select distinct messages.sender_id, messages.conversation_id
from messages
where not exists (
    select
    from participants
    where participants.conversation_id = messages.conversation_id
      and participants.user_id = messages.sender_id
)
on conflict on constraint departures_pkey do nothing;
