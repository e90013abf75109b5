-- Ends the claim of an event that was sent, or was not, and claims the next one of its conversation if
-- nothing is before it any more. Returns that one. Does nothing if somebody else has claimed the event
-- meanwhile.
--
-- $1 event    $2 who has claimed it    $3 seconds until the next claim ends
-- $4 whether it was sent    $5 seconds until it is tried again
-- $6 seconds from its commit until it is set aside    $7 whether the next one is claimed
with
    ended as (
        select number, conversation_id, set_aside_at is not null as was_set_aside,
               created_at < clock_timestamp() - make_interval(secs => $6) as is_old
        from events
        where number = $1 and claim = $2
    ),
    sent as (
        delete from events using ended where $4 and events.number = ended.number
    ),
    failed as (
        update events
        set claim = null,
            set_aside_at = case when is_old then clock_timestamp() end,
            due_at = case when not is_old then clock_timestamp() + make_interval(secs => $5) end
        from ended
        where not $4 and events.number = ended.number
    )
update events
set due_at = clock_timestamp() + make_interval(secs => $3), claim = $2, attempts = attempts + 1
where number = (
    select next.number
    from ended
    cross join lateral (
        select number
        from events
        where conversation_id = ended.conversation_id and set_aside_at is null and number <> ended.number
        order by number
        limit 1
    ) as next
    -- One that is repeated out of order is before no other.
    where $7 and ($4 or is_old) and not was_set_aside
)
returning number, id, type, conversation_id, message_id, user_id, details, created_at, attempts
