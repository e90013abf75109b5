-- Where a conversation stands for one of its participants, and who takes part. Returns nothing to a user who
-- does not.
--
-- $1 conversation    $2 user    $3 the most participants that are returned; if there are more, none is
select conversations.last_seq, conversations.last_change, conversations.roster,
       participants.first_seq, participants.joined_at,
       case when conversations.participant_count <= $3 then array(
           select user_id from participants where conversation_id = $1 order by user_id
       ) end as user_ids
from conversations
join participants on participants.conversation_id = conversations.id and participants.user_id = $2
where conversations.id = $1
