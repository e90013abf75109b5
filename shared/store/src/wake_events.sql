-- Makes the first event of a conversation due if it waits for one that is gone: it was written while that one
-- was sent.
--
-- $1 conversation
update events
set due_at = clock_timestamp()
where due_at is null and number = (
    select number from events where conversation_id = $1 and set_aside_at is null order by number limit 1
)
