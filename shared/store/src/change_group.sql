-- Changes the title and the avatar of a group. Returns nothing to a user who does not take part.
--
-- $1 conversation    $2 user
-- $3 title, or null to keep it    $4 whether the avatar URL changes    $5 avatar URL, or null for none
-- $6 the most participants that are returned; if there are more, none is
-- $7 when the token was issued    $8 whether to write an event
--
-- The row of the conversation is locked already.
with
    conversation as (
        select conversations.id, conversations.title, conversations.avatar_url,
               conversations.participant_count, conversations.last_change, participants.role
        from conversations
        join participants on participants.conversation_id = conversations.id and participants.user_id = $2
        where conversations.id = $1
    ),
    -- What is the same already takes no change.
    changed as (
        update conversations
        set title = coalesce($3, conversations.title),
            avatar_url = case when $4 then $5 else conversations.avatar_url end,
            last_change = conversations.last_change + 1
        from conversation
        where conversations.id = conversation.id
          and conversation.title is not null and conversation.role = 'owner'
          and (
              coalesce($3, conversation.title) <> conversation.title
              or ($4 and $5 is distinct from conversation.avatar_url)
          )
        returning conversations.title, conversations.avatar_url, conversations.last_change,
                  case when $8 then
                      record_event('conversation.changed', conversations.id, null, null, null)
                  end
    )
select conversation.role, conversation.title is not null as is_group, conversation.participant_count,
       changed.last_change is not null as is_changed,
       coalesce(changed.title, conversation.title) as title,
       case when changed.last_change is null then conversation.avatar_url else changed.avatar_url end
           as avatar_url,
       coalesce(changed.last_change, conversation.last_change) as last_change,
       case when conversation.participant_count <= $6 then array(
           select user_id from participants where conversation_id = $1 order by user_id
       ) end as user_ids
from conversation
left join changed on true
where (select token_revoked() from revocations where user_id = $2 and revoked_at >= $7) is null
