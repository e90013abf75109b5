-- Sets the role of a participant of a group. Returns nothing to a user who does not take part.
--
-- $1 conversation    $2 user, or null for the service    $3 the participant    $4 role
-- $5 the most participants that are returned; if there are more, none is
-- $6 when the token was issued    $7 whether to write an event
--
-- The row of the conversation is locked already.
with
    conversation as (
        select conversations.id, conversations.title is not null as is_group,
               conversations.participant_count, conversations.last_change,
               case when $2 is null then 'owner' else own.role end as role, theirs.role as old_role,
               $2 is not null and coalesce(theirs.role = 'owner', false) and not exists (
                   select from participants
                   where conversation_id = $1 and role = 'owner' and user_id <> $3
               ) as is_only_owner
        from conversations
        left join participants as own on own.conversation_id = conversations.id and own.user_id = $2
        left join participants as theirs on theirs.conversation_id = conversations.id and theirs.user_id = $3
        where conversations.id = $1 and ($2 is null or own.user_id is not null)
    ),
    -- The only owner of a group stays one, unless the service says otherwise. Who has the role already takes
    -- no change.
    changed as (
        update conversations
        set last_change = conversations.last_change + 1
        from conversation
        where conversations.id = conversation.id
          and conversation.is_group and conversation.role = 'owner' and conversation.old_role <> $4
          and not conversation.is_only_owner
        returning conversations.last_change,
                  case when $7 then record_event(
                      'participants.changed', conversations.id, null, null, json_build_object(
                          'added', '[]'::json, 'removed', '[]'::json,
                          'roles', json_build_array(json_build_object('userId', $3, 'role', $4)),
                          'participantCount', conversations.participant_count,
                          'lastChange', conversations.last_change
                      )::text
                  ) end
    ),
    updated as (
        update participants set role = $4 from changed where conversation_id = $1 and user_id = $3
    )
select conversation.role, conversation.is_group, conversation.participant_count, conversation.old_role,
       conversation.is_only_owner, changed.last_change is not null as is_changed,
       coalesce(changed.last_change, conversation.last_change) as last_change,
       case when conversation.participant_count <= $5 then array(
           select user_id from participants where conversation_id = $1 order by user_id
       ) end as user_ids
from conversation
left join changed on true
where (select token_revoked() from revocations where user_id = $2 and revoked_at >= $6) is null
