-- When a position was moved, and whether it passed messages of others.
create type moved_position as (at timestamptz, reads boolean);

-- Moves the position of a participant, unless it is there already: null then. A statement that calls this
-- pays for it only if there is something to move. Each statement in it sees what was committed before it.
create function move_position(of_conversation uuid, of_user text, up_to bigint) returns moved_position
language plpgsql as $$
declare
    position record;
    conversation record;
    own bigint;
    moved moved_position;
begin
    -- Waits for whoever moves the same position, and for a message of the user.
    select read_up_to, sent, sent_read into position
    from participants
    where conversation_id = of_conversation and user_id = of_user
    for no key update;
    if not found or position.read_up_to >= up_to then
        return null;
    end if;
    select last_seq, first_user_id is not null as is_direct into conversation
    from conversations
    where id = of_conversation;
    -- How many of the passed messages are the user's own: all that are not counted yet, or those up to the
    -- new position.
    own := position.sent - position.sent_read;
    if own > 0 and up_to < conversation.last_seq then
        -- The collation keeps the planner from the index of client_message_ids, where all of the user's
        -- messages are.
        select count(*) into own
        from messages
        where conversation_id = of_conversation and sender_id collate "POSIX" = of_user
          and seq > position.read_up_to and seq <= up_to;
    end if;
    -- The time of the move, so that later positions have later times.
    moved.at := clock_timestamp();
    moved.reads := up_to - position.read_up_to > own;
    update participants
    set read_up_to = up_to, sent_read = position.sent_read + own
    where conversation_id = of_conversation and user_id = of_user;
    if moved.reads and conversation.is_direct then
        insert into read_marks (conversation_id, user_id, up_to_seq, read_at)
        values (of_conversation, of_user, up_to, moved.at);
    end if;
    return moved;
end
$$;
