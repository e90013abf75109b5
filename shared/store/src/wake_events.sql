-- Makes the first event of each conversation due that waits for one that is gone: it was written while that
-- one was sent.
--
-- $1 conversation, or null for all of them
update events
set due_at = clock_timestamp()
where due_at is null and set_aside_at is null and ($1 is null or conversation_id = $1)
  and not exists (
      select
      from events as earlier
      where earlier.conversation_id = events.conversation_id and earlier.set_aside_at is null
        and earlier.number < events.number
  )
