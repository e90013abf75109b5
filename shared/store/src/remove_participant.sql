-- Removes a participant from a group, or from a conversation of two if they are erased. Returns nothing if
-- there is no such conversation; the role is null if the user does not take part.
--
-- $1 conversation    $2 user, or null for the service    $3 the participant
-- $4 the most participants that are returned; if there are more, none is
-- $5 when the token was issued    $6 whether to write events
-- $7 whether the participant is erased
--
-- The row of the conversation is locked already, so nobody sends meanwhile.
with
    conversation as (
        select conversations.id, conversations.title is not null as is_group,
               conversations.participant_count, conversations.last_change, conversations.roster,
               case when $2 is null then 'owner' else own.role end as role,
               theirs.user_id is not null as takes_part,
               $2 is not null and coalesce(theirs.role = 'owner', false) and not exists (
                   select from participants
                   where conversation_id = $1 and role = 'owner' and user_id <> $3
               ) as is_only_owner
        from conversations
        left join participants as own on own.conversation_id = conversations.id and own.user_id = $2
        left join participants as theirs on theirs.conversation_id = conversations.id and theirs.user_id = $3
        where conversations.id = $1
    ),
    -- Owners and the service remove others, and everybody may leave. The only owner of a group does not leave
    -- others behind.
    leaving as (
        select id
        from conversation
        where (is_group or $7) and takes_part and (role = 'owner' or $2 = $3)
          and (not is_only_owner or participant_count = 1)
    ),
    changed as (
        update conversations
        set participant_count = participant_count - 1, last_change = last_change + 1, roster = roster + 1
        from leaving
        where conversations.id = leaving.id
        returning conversations.participant_count, conversations.last_change, conversations.roster,
                  case when $6 then record_event(
                      'participants.changed', conversations.id, null, null, json_build_object(
                          'added', '[]'::json, 'removed', json_build_array($3), 'roles', '[]'::json,
                          'participantCount', conversations.participant_count,
                          'lastChange', conversations.last_change
                      )::text
                  ) end,
                  case when $6 and conversations.participant_count = 0 then record_event(
                      'conversation.ended', conversations.id, null, null, json_build_object(
                          'lastSeq', conversations.last_seq, 'lastChange', conversations.last_change
                      )::text
                  ) end
    ),
    removed as (
        delete from participants using leaving where conversation_id = $1 and user_id = $3
    )
select conversation.role, conversation.is_group, conversation.takes_part, conversation.is_only_owner,
       changed.roster is not null as is_removed,
       coalesce(changed.participant_count, conversation.participant_count) as participant_count,
       coalesce(changed.last_change, conversation.last_change) as last_change,
       coalesce(changed.roster, conversation.roster) as roster,
       -- Those from before, also the one who is removed.
       case when coalesce(changed.participant_count, conversation.participant_count) <= $4 then array(
           select user_id from participants where conversation_id = $1 order by user_id
       ) end as user_ids
from conversation
left join changed on true
where (select token_revoked() from revocations where user_id = $2 and revoked_at >= $5) is null
