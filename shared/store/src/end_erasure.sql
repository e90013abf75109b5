-- Ends the erasure of a user, and records that once.
--
-- $1 user    $2 whether events are recorded
with
    -- A frame that was under way when the connection was closed may have written these.
    uncounted as (
        delete from rates where user_id = $1
    ),
    untold as (
        delete from events where user_id = $1 and conversation_id is not null
    )
update users
set erasing_since = null
where id = $1 and erasing_since is not null
returning case when $2 then record_event('user.erased', null, null, id, null) end
