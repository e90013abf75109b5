-- Stores what a token says of its user, and returns the contacts of the user as contacts_of.sql does: a
-- connect needs both, and this is one round trip.
--
-- $1 user    $2 name    $3 display name    $4 avatar URL, each null if the token does not have it
-- $5 number of contacts    $6 the most participants of a conversation whose participants are contacts
with
    said (id, name, display_name, avatar_url) as (
        values ($1, $2, $3, $4)
    ),
    -- Writes only what differs, so that most connects take no lock and leave no dead row. A claim that the
    -- token does not have keeps what is stored.
    upserted as (
        insert into users (id, name, display_name, avatar_url)
        select said.id, said.name, said.display_name, said.avatar_url
        from said
        left join users stored on stored.id = said.id
        where stored.id is null
           or (said.name is not null and said.name is distinct from stored.name)
           or (said.display_name is not null and said.display_name is distinct from stored.display_name)
           or (said.avatar_url is not null and said.avatar_url is distinct from stored.avatar_url)
        on conflict on constraint users_pkey do update set
            name = coalesce(excluded.name, users.name),
            display_name = coalesce(excluded.display_name, users.display_name),
            avatar_url = coalesce(excluded.avatar_url, users.avatar_url)
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
select others.user_id as contact
from latest
cross join lateral (
    select user_id from participants where conversation_id = latest.id and user_id <> $1 limit $6
) as others
group by others.user_id
order by max(latest.activity) desc
limit $5
