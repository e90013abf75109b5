-- Makes a conversation for the service, or finds it: that of two users, or the group that was made with an
-- equal client_conversation_id. Stores users who are not there yet.
--
-- $1 id of the conversation if it is made    $2 title; null for the conversation of two
-- $3 client_conversation_id or null    $4 the participants, in the order of a pair    $5 those who are owners
-- $6 whether to write events
--
-- Of two equal ones at once the later violates conversations_pair_key or
-- conversations_service_client_conversation_id_key, aborts as a whole, and finds the conversation when it is
-- repeated.
with
    -- Also finds what an earlier try has made whose answer was lost.
    found as (
        select id
        from conversations
        where $2 is not null and creator_id is null and client_conversation_id = $3
        union all
        select id from conversations where $2 is null and first_user_id = $4[1] and second_user_id = $4[2]
        union all
        select id from conversations where id = $1
    ),
    made_users as (
        insert into users (id)
        select member.id
        from unnest($4) as member (id)
        where not exists (select from found)
          -- Who is there is not locked: two requests might lock each other out.
          and not exists (select from users where users.id = member.id and erased_at is null)
        on conflict on constraint users_pkey do update set erased_at = null, erasing_since = null
        where users.erased_at is not null
    ),
    -- As in find_or_create_conversation.sql. Who is not there yet has blocked nobody.
    second as (
        select block_changes from users where $2 is null and id = $4[2]
    ),
    locked as materialized (
        select block_changes
        from users
        where $2 is null and id = $4[2] and erased_at is null and not exists (select from found)
        for share
    ),
    created as (
        insert into conversations (
            id, title, first_user_id, second_user_id, client_conversation_id, participant_count, last_change,
            is_blocked
        )
        select $1, $2, case when $2 is null then $4[1] end, case when $2 is null then $4[2] end,
               case when $2 is not null then $3 end,
               cardinality($4), case when $2 is null then 0 else 1 end,
               case when locked.block_changes <> second.block_changes then lost_race()
                    else $2 is null and are_apart($4[1], $4[2]) end
        from (values (true)) as always
        left join locked on true
        left join second on true
        where not exists (select from found)
        returning id, created_at
    ),
    joined as (
        insert into participants (conversation_id, user_id, role, joined_at, active_on)
        select created.id, member.id, case when member.id = any ($5) then 'owner' else 'member' end,
               created.created_at, (created.created_at at time zone 'UTC')::date
        from created, unnest($4) as member (id)
    )
select
    (select id from found limit 1) as found,
    case when $6 then (
        select record_event('conversation.created', created.id, null, null, null) from created
    ) end,
    case when $6 and $2 is not null then (
        select record_event('participants.changed', created.id, null, null, json_build_object(
            'added', $4, 'removed', '[]'::json, 'roles', member.roles,
            'participantCount', cardinality($4), 'lastChange', 1
        )::text)
        from created
        cross join (
            select json_agg(json_build_object(
                'userId', id, 'role', case when id = any ($5) then 'owner' else 'member' end
            )) as roles
            from unnest($4) as each (id)
        ) as member
    ) end
