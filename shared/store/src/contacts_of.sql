-- The users who share a conversation with a user, those with the latest activity first.
--
-- $1 user    $2 number of contacts
-- $3 the most participants of a conversation whose participants are contacts
--
-- Looks at as many conversations as there may be contacts, the latest ones. Reads whole days, as
-- conversations_of.sql does.
with
    earliest as (
        select active_on
        from participants
        where user_id collate "POSIX" = $1
        order by active_on desc
        offset $2 - 1
        limit 1
    ),
    latest as (
        select conversation.id, conversation.activity
        from participants
        cross join lateral (
            select id, participant_count,
                   case when last_seq >= participants.first_seq then last_message_at
                        else participants.joined_at end as activity
            from conversations
            where id = participants.conversation_id
            limit 1
        ) as conversation
        where participants.user_id collate "POSIX" = $1
          and participants.active_on >= coalesce((select active_on from earliest), '-infinity')
          and conversation.participant_count between 2 and $3
        order by conversation.activity desc
        limit $2
    )
(
    select others.user_id as contact, false as is_apart
    from latest
    cross join lateral (
        select user_id from participants where conversation_id = latest.id and user_id <> $1 limit $3
    ) as others
    group by others.user_id
    order by max(latest.activity) desc
    limit $2
)
-- Contact or not: who has blocked the user, or is blocked by them.
union all
select blocked_id, true from blocks where user_id = $1
union all
select user_id, true from blocks where blocked_id = $1
