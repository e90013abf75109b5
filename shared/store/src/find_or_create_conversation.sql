-- Finds the conversation of two users, or makes it. Stores what the caller's token says of them on the way.
--
-- $1 caller    $2 name    $3 display name    $4 avatar URL, each null if the token does not have it
-- $5 other user
-- $6, $7 the two users in the order of the pair    $8 id of the conversation if it is made
-- $9 conversations that a caller may make in a minute; 0 for any number    $10 when the token was issued
-- $11 whether to write an event
--
-- A new user, the conversation and its participants are stored together or not at all. If both users ask at
-- once, the later statement violates conversations_pair_key, aborts as a whole, and finds the conversation
-- when it is repeated.
with
    said (id, name, display_name, avatar_url) as (
        values ($1, $2, $3, $4)
    ),
    -- As in welcome.sql.
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
    other as (
        select id, block_changes from users where id = $5 and erased_at is null
    ),
    found as (
        select id from conversations where first_user_id = $6 and second_user_id = $7
    ),
    -- As in send_message.sql.
    counted_in as (
        insert into rates (user_id, what, started_at, count)
        select $1, 'conversation', clock_timestamp(), 1
        from other
        where $9 > 0 and not exists (select from found)
        on conflict on constraint rates_pkey do update set
            started_at = case
                when rates.started_at > excluded.started_at - interval '1 minute' then rates.started_at
                else excluded.started_at
            end,
            count = case
                when rates.started_at > excluded.started_at - interval '1 minute' then rates.count + 1
                else 1
            end
        where rates.count < $9 or rates.started_at <= excluded.started_at - interval '1 minute'
        returning user_id
    ),
    -- The other user, as they are once nobody else blocks or erases them. What was done meanwhile is not in
    -- the snapshot: then the statement aborts and runs again. What is done later finds the conversation.
    locked as materialized (
        select block_changes, erased_at is not null as is_erased
        from users
        where id = $5 and not exists (select from found)
        for share
    ),
    created as (
        insert into conversations (id, first_user_id, second_user_id, is_blocked)
        select $8, $6, $7,
               case when locked.block_changes <> other.block_changes or locked.is_erased then lost_race()
                    else are_apart($6, $7) end
        from other
        cross join locked
        where not exists (select from found) and ($9 = 0 or exists (select from counted_in))
        returning id, created_at,
                  case when $11 then record_event('conversation.created', id, null, null, null) end
    ),
    joined as (
        insert into participants (conversation_id, user_id, joined_at, active_on)
        select created.id, member.id, created.created_at, (created.created_at at time zone 'UTC')::date
        from created, (values ($6), ($7)) as member (id)
    )
select
    (select id from found) as found,
    (select id from created) as created,
    exists (select from other) as other_exists,
    -- The milliseconds until the running minute is over.
    (
        select ceil(extract(epoch from started_at + interval '1 minute' - clock_timestamp()) * 1000)::bigint
        from rates
        where user_id = $1 and what = 'conversation'
    ) as retry_after_ms
where (select token_revoked() from revocations where user_id = $1 and revoked_at >= $10) is null
