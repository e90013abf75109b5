-- Moves the position of a reader, up to a seq. Returns nothing to a user who does not take part.
--
-- $1 conversation    $2 reader    $3 the last seq that is read
--
-- Costs the same however many messages the position passes, unless the reader has sent some since it last
-- moved.
with
    seen as (
        select conversations.last_seq, conversations.first_user_id, conversations.second_user_id,
               participants.read_up_to, participants.sent, participants.sent_read
        from participants
        join conversations on conversations.id = participants.conversation_id
        where participants.conversation_id = $1 and participants.user_id = $2
    ),
    -- Waits for whoever moves the same position, and then moves it only if it is still below. The time is
    -- that of the move, so that later positions have later times.
    moved as (
        update participants
        set read_up_to = least($3, seen.last_seq),
            -- How many messages the reader has sent up to the new position. All messages up to it are in this
            -- snapshot, so the number holds, whoever moves the position meanwhile.
            sent_read = greatest(
                participants.sent_read,
                case
                    when seen.sent = seen.sent_read or $3 >= seen.last_seq then seen.sent
                    -- The collation keeps the planner from the index of client_message_ids, where all of the
                    -- reader's messages are.
                    else seen.sent_read + (
                        select count(*)
                        from messages
                        where conversation_id = $1 and sender_id collate "POSIX" = $2
                          and seq > seen.read_up_to and seq <= $3
                    )
                end
            )
        from seen
        where participants.conversation_id = $1 and participants.user_id = $2
          and participants.read_up_to < least($3, seen.last_seq)
        returning participants.read_up_to, clock_timestamp() as at,
                  -- Whether it has passed messages of others.
                  participants.read_up_to - seen.read_up_to > participants.sent_read - seen.sent_read as reads
    ),
    -- In a conversation of two.
    marked as (
        insert into read_marks (conversation_id, user_id, up_to_seq, read_at)
        select $1, $2, moved.read_up_to, moved.at
        from moved
        join seen on seen.first_user_id is not null
        where moved.reads
    )
select seen.first_user_id, seen.second_user_id, least($3, seen.last_seq) as up_to,
       coalesce(moved.at, clock_timestamp()) as at, coalesce(moved.reads, false) as changed
from seen
left join moved on true
