-- Conversations that a user takes part in, or has left messages in.
--
-- $1 user
(
    select conversation_id, true as takes_part
    from participants
    where user_id collate "POSIX" = $1
    limit 50
)
union all
(
    select conversation_id, false
    from departures
    where
        user_id = $1
        and not exists (
            select from participants
            where participants.conversation_id = departures.conversation_id and participants.user_id = $1
        )
    limit 50
)
