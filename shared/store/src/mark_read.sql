-- Marks the messages of the other participant as read, up to a seq. Returns nothing to a user who does not
-- take part.
--
-- $1 conversation    $2 reader    $3 the last seq to mark
--
-- Exact while others send and read: the update waits for whoever marks the same rows, and then finds them read.
with
    conversation as (
        select id, first_user_id, second_user_id, last_seq,
               case when first_user_id = $2 then second_user_id else first_user_id end as other_id
        from conversations
        where id = $1 and $2 in (first_user_id, second_user_id)
    ),
    moment as materialized (
        select clock_timestamp() as at
    ),
    -- Reads only unread messages: messages_unread_idx holds no others.
    marked as (
        update messages
        set read_at = moment.at
        from conversation, moment
        where messages.conversation_id = conversation.id
          and messages.sender_id = conversation.other_id
          and messages.read_at is null
          and messages.seq <= $3
        returning messages.id
    ),
    -- Moved by the number of rows that this statement marked, never recounted.
    counted as (
        update participants
        set unread_count = unread_count - (select count(*) from marked)
        where conversation_id = $1 and user_id = $2 and exists (select from marked)
    )
select first_user_id, second_user_id, least($3, last_seq) as up_to, at,
       exists (select from marked) as changed
from conversation, moment
