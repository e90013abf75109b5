-- Stores what a token says of its user, and returns the contacts of the user as contacts_of.sql does: a
-- connect needs both, and this is one round trip.
--
-- $1 user    $2 name    $3 display name    $4 avatar URL, each null if the token does not have it
-- $5 number of contacts    $6 the most participants of a conversation whose participants are contacts
-- $7 when the token was issued
with
    said (id, name, display_name, avatar_url) as (
        values ($1, $2, $3, $4)
    ),
    -- Writes only what differs, so that most connects take no lock and leave no dead row. A claim that the
    -- token does not have keeps what is stored, and so does one of a field that the service manages. No claim
    -- is empty, so '' differs from all of them.
    upserted as (
        insert into users (id, name, display_name, avatar_url)
        select said.id, said.name, said.display_name, said.avatar_url
        from said
        left join users stored on stored.id = said.id
        where stored.id is null
           or stored.erased_at is not null
           or (said.name <> coalesce(stored.name, '') and not stored.name_is_managed)
           or (said.display_name <> coalesce(stored.display_name, '') and not stored.display_name_is_managed)
           or (said.avatar_url <> coalesce(stored.avatar_url, '') and not stored.avatar_url_is_managed)
        on conflict on constraint users_pkey do update set
            name = case
                when users.name_is_managed then users.name else coalesce(excluded.name, users.name)
            end,
            display_name = case
                when users.display_name_is_managed then users.display_name
                else coalesce(excluded.display_name, users.display_name)
            end,
            avatar_url = case
                when users.avatar_url_is_managed then users.avatar_url
                else coalesce(excluded.avatar_url, users.avatar_url)
            end,
            erased_at = null, erasing_since = null
    ),
    -- As in contacts_of.sql.
    earliest as (
        select active_on
        from participants
        where user_id collate "POSIX" = $1
        order by active_on desc
        offset $5 - 1
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
          and conversation.participant_count between 2 and $6
        order by conversation.activity desc
        limit $5
    )
(
    select others.user_id as contact, false as is_apart
    from latest
    cross join lateral (
        select user_id from participants where conversation_id = latest.id and user_id <> $1 limit $6
    ) as others
    where (select token_revoked() from revocations where user_id = $1 and revoked_at >= $7) is null
    group by others.user_id
    order by max(latest.activity) desc
    limit $5
)
-- Contact or not: who has blocked the user, or is blocked by them.
union all
select blocked_id, true from blocks where user_id = $1
union all
select user_id, true from blocks where blocked_id = $1
