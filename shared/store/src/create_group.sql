-- Makes a group, or finds the one that the creator has made with an equal client_conversation_id. Stores what
-- the creator's token says of them on the way.
--
-- $1 creator    $2 name    $3 display name    $4 avatar URL, each null if the token does not have it
-- $5 id of the conversation if it is made    $6 title    $7 avatar URL of the group, or null
-- $8 the other participants    $9 client_conversation_id or null
-- $10 conversations that a user may make in a minute; 0 for any number
-- $11 when the token was issued    $12 whether to write events
--
-- The second of two equal client_conversation_ids at once violates conversations_client_conversation_id_key,
-- aborts as a whole, and finds the group when it is repeated.
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
    -- Also finds what an earlier try has made whose answer was lost.
    found as (
        select id from conversations where creator_id = $1 and client_conversation_id = $9
        union all
        select id from conversations where id = $5
    ),
    -- Who has blocked the creator is passed over.
    others as (
        select wanted.id
        from unnest($8) as wanted (id)
        where not exists (select from blocks where user_id = wanted.id and blocked_id = $1)
    ),
    unknown as (
        select min(wanted.id) as id
        from unnest($8) as wanted (id)
        where not exists (select from users where users.id = wanted.id and erased_at is null)
        having count(*) > 0
    ),
    -- The others, as they are once nobody erases them. Who was erased meanwhile is missing here: then the
    -- statement aborts and runs again. An erasure that comes later finds them in the group.
    locked as materialized (
        select id
        from users
        where id in (select id from others) and erased_at is null and not exists (select from found)
        order by id
        for key share
    ),
    -- As in send_message.sql. Each participant counts as a conversation. What is more than the limit at once
    -- is accepted in a new minute only.
    counted_in as (
        insert into rates (user_id, what, started_at, count)
        select $1, 'conversation', clock_timestamp(), greatest(cardinality($8), 1)
        where $10 > 0 and not exists (select from found) and not exists (select from unknown)
        on conflict on constraint rates_pkey do update set
            started_at = case
                when rates.started_at > excluded.started_at - interval '1 minute' then rates.started_at
                else excluded.started_at
            end,
            count = case
                when rates.started_at > excluded.started_at - interval '1 minute'
                    then rates.count + excluded.count
                else excluded.count
            end
        where rates.count + excluded.count <= $10
           or rates.started_at <= excluded.started_at - interval '1 minute'
        returning user_id
    ),
    created as (
        insert into conversations (
            id, title, avatar_url, creator_id, client_conversation_id, participant_count, last_change
        )
        select $5, $6, $7, $1, $9, 1 + (select count(*) from others), 1
        where not exists (select from found) and not exists (select from unknown)
          and ($10 = 0 or exists (select from counted_in))
          and case when (select count(*) from locked) <> (select count(*) from others) then lost_race()
                   else true end
        returning id, created_at, participant_count
    ),
    joined as (
        insert into participants (conversation_id, user_id, role, joined_at, active_on)
        select created.id, member.id, member.role, created.created_at,
               (created.created_at at time zone 'UTC')::date
        from created,
             (select $1, 'owner' union all select id, 'member' from others) as member (id, role)
    )
select
    case when $12 then (
        select record_event('conversation.created', created.id, null, null, null) from created
    ) end,
    case when $12 then (
        select record_event('participants.changed', created.id, null, null, json_build_object(
            'added', member.ids, 'removed', '[]'::json, 'roles', member.roles,
            'participantCount', created.participant_count, 'lastChange', 1
        )::text)
        from created
        cross join (
            select json_agg(id) as ids, json_agg(json_build_object('userId', id, 'role', role)) as roles
            from (select $1 as id, 'owner' as role union all select id, 'member' from others) as each
        ) as member
    ) end,
    (select id from found limit 1) as found,
    (select id from created) as created,
    (select id from unknown) as unknown_user_id,
    array(select id from others order by id) as others,
    -- The milliseconds until the running minute is over.
    (
        select ceil(extract(epoch from started_at + interval '1 minute' - clock_timestamp()) * 1000)::bigint
        from rates
        where user_id = $1 and what = 'conversation'
    ) as retry_after_ms
where (select token_revoked() from revocations where user_id = $1 and revoked_at >= $11) is null
