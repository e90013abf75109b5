-- Adds participants to a group. They see what comes after. Returns nothing to a user who does not take part.
--
-- $1 conversation    $2 user, or null for the service    $3 the users who are added
-- $4 conversations that a user may make in a minute; 0 for any number    $5 the most participants of a group
-- $6 the most participants that are returned; if there are more, none is
-- $7 when the token was issued    $8 whether to write an event
--
-- The row of the conversation is locked already.
with
    conversation as (
        select conversations.id, conversations.title is not null as is_group,
               conversations.participant_count, conversations.last_seq, conversations.last_change,
               case when $2 is null then 'owner' else participants.role end as role
        from conversations
        left join participants
            on participants.conversation_id = conversations.id and participants.user_id = $2
        where conversations.id = $1 and ($2 is null or participants.user_id is not null)
    ),
    -- Who takes part already stays as they are. Who has blocked the user is passed over.
    new as materialized (
        select wanted.id
        from unnest($3) as wanted (id)
        where not exists (select from participants where conversation_id = $1 and user_id = wanted.id)
          and not exists (select from blocks where user_id = wanted.id and blocked_id = $2)
    ),
    unknown as (
        select min(new.id) as id
        from new
        where not exists (select from users where users.id = new.id and erased_at is null)
        having count(*) > 0
    ),
    -- As in create_group.sql.
    locked as materialized (
        select id from users where id in (select id from new) and erased_at is null order by id for key share
    ),
    admitted as (
        select conversation.id, conversation.last_seq, number.of_new, clock_timestamp() as at
        from conversation
        cross join (select count(*)::integer as of_new from new) as number
        where conversation.is_group and conversation.role = 'owner' and number.of_new > 0
          and case
              when exists (select from unknown) then false
              when (select count(*) from locked) <> number.of_new then lost_race()
              else true
          end
          and conversation.participant_count + number.of_new <= $5
    ),
    -- As in create_group.sql.
    counted_in as (
        insert into rates (user_id, what, started_at, count)
        select $2, 'conversation', clock_timestamp(), of_new from admitted where $4 > 0
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
        where rates.count + excluded.count <= $4
           or rates.started_at <= excluded.started_at - interval '1 minute'
        returning user_id
    ),
    changed as (
        update conversations
        set participant_count = conversations.participant_count + admitted.of_new,
            last_change = conversations.last_change + 1, roster = roster + 1
        from admitted
        where conversations.id = admitted.id and ($4 = 0 or exists (select from counted_in))
        returning conversations.participant_count, conversations.last_change, admitted.last_seq, admitted.at,
                  case when $8 then record_event(
                      'participants.changed', conversations.id, null, null, json_build_object(
                          'added', (select json_agg(id) from new), 'removed', '[]'::json,
                          'roles', (
                              select json_agg(json_build_object('userId', id, 'role', 'member')) from new
                          ),
                          'participantCount', conversations.participant_count,
                          'lastChange', conversations.last_change
                      )::text
                  ) end
    ),
    added as (
        insert into participants (
            conversation_id, user_id, role, joined_at, first_seq, read_up_to, active_on
        )
        select $1, new.id, 'member', changed.at, changed.last_seq + 1, changed.last_seq,
               (changed.at at time zone 'UTC')::date
        from changed, new
    )
select conversation.role, conversation.is_group,
       (select id from unknown) as unknown_user_id,
       conversation.participant_count + (select count(*) from new) > $5 as would_be_too_many,
       exists (select from new) and changed.last_change is null as is_refused,
       changed.last_change is not null as is_changed,
       (
           select ceil(
               extract(epoch from started_at + interval '1 minute' - clock_timestamp()) * 1000
           )::bigint
           from rates
           where user_id = $2 and what = 'conversation'
       ) as retry_after_ms,
       array(select id from new order by id) as added,
       coalesce(changed.participant_count, conversation.participant_count) as participant_count,
       coalesce(changed.last_change, conversation.last_change) as last_change,
       -- Those from before; the new ones are not in the snapshot.
       case when coalesce(changed.participant_count, conversation.participant_count) <= $6 then array(
           select user_id from participants where conversation_id = $1 order by user_id
       ) end as user_ids
from conversation
left join changed on true
where (select token_revoked() from revocations where user_id = $2 and revoked_at >= $7) is null
