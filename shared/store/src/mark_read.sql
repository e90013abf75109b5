-- Moves the position of a reader, up to a seq. Returns nothing to a user who does not take part.
--
-- $1 conversation    $2 reader    $3 the last seq that is read
--
-- Costs the same however many messages the position passes, unless the reader has sent some since it last moved.
with
    seen as (
        select conversations.id, conversations.last_seq, conversations.title is null as is_direct,
               conversations.first_user_id, conversations.second_user_id,
               participants.read_up_to, participants.sent, participants.sent_read,
               least($3, conversations.last_seq) as up_to
        from conversations
        join participants on participants.conversation_id = conversations.id and participants.user_id = $2
        where conversations.id = $1
    ),
    -- How many messages the reader has sent up to the new position. All messages up to it are in this snapshot,
    -- so the number holds, whoever moves the position meanwhile.
    own as (
        select case
            when seen.sent = seen.sent_read or seen.up_to = seen.last_seq then seen.sent
            else seen.sent_read + (
                select count(*)
                from messages
                where conversation_id = $1 and sender_id = $2
                  and seq > seen.read_up_to and seq <= seen.up_to
            )
        end as sent_read
        from seen
        where seen.up_to > seen.read_up_to
    ),
    -- Waits for whoever moves the same position, and then moves it only if it is still below. The time is that of
    -- the move, so that later positions have later times.
    moved as (
        update participants
        set read_up_to = seen.up_to, sent_read = greatest(participants.sent_read, own.sent_read)
        from seen, own
        where participants.conversation_id = $1 and participants.user_id = $2
          and participants.read_up_to < seen.up_to
        returning participants.read_up_to, clock_timestamp() as at
    ),
    marked as (
        insert into read_marks (conversation_id, user_id, up_to_seq, read_at)
        select seen.id, $2, moved.read_up_to, moved.at from seen, moved where seen.is_direct
    )
select seen.first_user_id, seen.second_user_id, seen.up_to,
       coalesce((select at from moved), clock_timestamp()) as at,
       exists (select from moved) as changed
from seen
