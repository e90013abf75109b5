-- Claims events that are due, each the first of its conversation. Nobody else sends one of these
-- conversations until the claim ends.
--
-- $1 who claims them    $2 number of events    $3 seconds until the claim ends
with due as (
    select number
    from events
    where due_at <= clock_timestamp()
      -- Two that were written at once may both take themselves for the first. One that was set aside is
      -- repeated out of order.
      and (set_aside_at is not null or not exists (
          select
          from events as earlier
          where earlier.conversation_id = events.conversation_id and earlier.set_aside_at is null
            and earlier.number < events.number
      ))
    order by due_at
    limit $2
    for update skip locked
)
update events
set due_at = clock_timestamp() + make_interval(secs => $3), claim = $1, attempts = attempts + 1
from due
where events.number = due.number
returning events.number, events.id, events.type, events.conversation_id, events.message_id, events.user_id,
          events.details, events.created_at, events.attempts
