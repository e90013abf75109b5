-- Removes some messages of a conversation up to a seq, the oldest first, and moves what stands before the
-- rest: the first seq and the position of the participants. Returns how many.
--
-- $1 conversation    $2 seq    $3 number of messages
--
-- The row of the conversation is locked already.
with
    old as materialized (
        select id, seq, sender_id
        from messages
        where conversation_id = $1 and seq <= $2
        order by seq
        limit $3
    ),
    edge as (
        select max(old.seq) as seq, max(old.seq) >= conversations.last_seq as is_all
        from old
        cross join conversations
        where conversations.id = $1
        group by conversations.last_seq
    ),
    -- Takes their reactions along.
    removed as (
        delete from messages where id in (select id from old)
    ),
    -- What tells when they were read.
    unmarked as (
        delete from read_marks using edge where conversation_id = $1 and up_to_seq <= edge.seq
    ),
    moved as (
        update participants
        set first_seq = edge.seq + 1,
            read_up_to = greatest(read_up_to, edge.seq),
            -- Whose backend was told of what is unread is not told again.
            unread_told = case when unread_told = read_up_to then greatest(read_up_to, edge.seq)
                               else unread_told end,
            -- Own messages that the position passes are not above it any more.
            sent_read = sent_read + (
                select count(*)
                from old
                where old.sender_id = participants.user_id and old.seq > participants.read_up_to
            ),
            -- Without messages a conversation is listed by when its participants were added.
            active_on = case when edge.is_all then (joined_at at time zone 'UTC')::date else active_on end
        from edge
        where conversation_id = $1 and first_seq <= edge.seq
    )
select count(*) as removed from old
