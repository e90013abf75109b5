-- Begins to erase a user, or goes on. From then on nobody finds them.
--
-- $1 user
--
-- The row of the user is locked already, so that nobody adds them to a conversation meanwhile.
with
    unblocked as (
        delete from blocks where user_id = $1 or blocked_id = $1
    ),
    uncounted as (
        delete from rates where user_id = $1
    ),
    untold as (
        delete from events where user_id = $1 and conversation_id is not null
    ),
    unnamed as (
        update conversations
        set client_conversation_id = null
        where creator_id = $1 and client_conversation_id is not null
    )
update users
set name = null, display_name = null, avatar_url = null,
    name_is_managed = false, display_name_is_managed = false, avatar_url_is_managed = false,
    erasing_since = case when erased_at is null then clock_timestamp() else erasing_since end,
    erased_at = coalesce(erased_at, clock_timestamp())
where id = $1
returning id
