-- Where a conversation stands for one of its participants, and who takes part. Returns nothing to a user who
-- does not.
--
-- $1 conversation    $2 user    $3 the most participants that are returned; if there are more, none is
select conversations.last_seq, conversations.last_change, conversations.roster, conversations.is_blocked,
       participants.first_seq, participants.joined_at,
       case when conversations.participant_count <= $3 then array(
           select user_id from participants where conversation_id = $1 order by user_id
       ) end as user_ids,
       -- Those of them who have blocked the user or are blocked by them.
       array(
           select other.id
           from (
               select blocked_id as id from blocks where user_id = $2
               union
               select user_id from blocks where blocked_id = $2
           ) as other
           where exists (select from participants where conversation_id = $1 and user_id = other.id)
           order by other.id
       ) as apart_ids
from conversations
join participants on participants.conversation_id = conversations.id and participants.user_id = $2
where conversations.id = $1
