-- Edits or deletes a message, or adds or removes a reaction. Returns nothing if the user does not see the
-- message; else the message as it is then, and the verdict: 'changed', or why nothing has changed.
--
-- $1 message    $2 user, or null for the service, which sees all messages and may delete them
-- $3 what is asked for: 'edit', 'delete', 'add_reaction' or 'remove_reaction'
-- $4 content of an edit    $5 whether it sets the metadata    $6 metadata, or null for none
-- $7 whether an edit asks for the latest change to be $8, or none if that is null
-- $9 reaction    $10 the most different reactions of a message
-- $11 messages and changes of a user in a minute; 0 for any number
-- $12 the most participants of a conversation whose participants are all told of a change
-- $13 whether to write an event
--
-- The row of the conversation is locked already, so all this reads is the latest.
with
    seen as materialized (
        select messages.id, messages.conversation_id, messages.seq, messages.sender_id, messages.content,
               messages.client_message_id, messages.created_at, messages.reply_to, messages.metadata,
               messages.reactions, messages.edited_at, messages.deleted_at, messages.change,
               conversations.first_user_id, conversations.second_user_id, conversations.participant_count,
               conversations.last_seq, conversations.is_blocked, participants.role
        from messages
        join conversations on conversations.id = messages.conversation_id
        left join participants on participants.conversation_id = messages.conversation_id
         and participants.user_id = $2
        where messages.id = $1 and ($2 is null or messages.seq >= participants.first_seq)
    ),
    own as materialized (
        select from reactions where message_id = $1 and user_id = $2 and reaction = $9
    ),
    verdict as materialized (
        select case
            -- One of two has blocked the other, or is erased.
            when $3 in ('edit', 'add_reaction') and first_user_id is not null
                and (is_blocked or participant_count < 2) then 'closed'
            when $3 = 'edit' then case
                when sender_id <> $2 then 'not_allowed'
                when $7 and change is distinct from $8 then 'unchanged'
                when deleted_at is not null then 'deleted'
                when content = $4 and (not $5 or metadata is not distinct from $6) then 'unchanged'
                else 'changed'
            end
            when $3 = 'delete' then case
                -- Never true for the service.
                when sender_id <> $2 and role <> 'owner' then 'not_allowed'
                when deleted_at is not null then 'unchanged'
                else 'changed'
            end
            when $3 = 'add_reaction' then case
                when deleted_at is not null then 'deleted'
                when exists (select from own) then 'unchanged'
                when (
                    select count(distinct reaction) from reactions where message_id = $1 and reaction <> $9
                ) >= $10 then 'too_many_reactions'
                else 'changed'
            end
            when exists (select from own) then 'changed'
            else 'unchanged'
        end as verdict
        from seen
    ),
    -- As in send_message.sql.
    counted_in as (
        insert into rates (user_id, what, started_at, count)
        select $2, 'message', clock_timestamp(), 1
        from verdict
        where $11 > 0 and verdict = 'changed'
        on conflict on constraint rates_pkey do update set
            started_at = case
                when rates.started_at > excluded.started_at - interval '1 minute' then rates.started_at
                else excluded.started_at
            end,
            count = case
                when rates.started_at > excluded.started_at - interval '1 minute' then rates.count + 1
                else 1
            end
        where rates.count < $11 or rates.started_at <= excluded.started_at - interval '1 minute'
        returning user_id
    ),
    taken as (
        update conversations
        set last_change = last_change + 1
        from seen
        cross join verdict
        where conversations.id = seen.conversation_id and verdict.verdict = 'changed'
          and ($11 = 0 or exists (select from counted_in))
        returning last_change
    ),
    added as (
        insert into reactions (message_id, user_id, reaction, change, since)
        select $1, $2, $9, last_change, coalesce(
            (select min(since) from reactions where message_id = $1 and reaction = $9), last_change
        )
        from taken
        where $3 = 'add_reaction'
        returning reaction, user_id, change, since
    ),
    removed as (
        delete from reactions
        using taken
        where message_id = $1
          and ($3 = 'delete' or ($3 = 'remove_reaction' and user_id = $2 and reaction = $9))
    ),
    -- The reactions after this: the snapshot does not show what it adds and removes.
    standing as (
        select reaction, user_id, change, since
        from reactions
        where message_id = $1 and $3 in ('add_reaction', 'remove_reaction')
          and not ($3 = 'remove_reaction' and user_id = $2 and reaction = $9)
        union all
        select reaction, user_id, change, since from added
    ),
    summary as (
        select json_agg(
            json_build_object('reaction', reaction, 'count', count, 'userIds', user_ids) order by since
        )::text as reactions
        from (
            select reaction, count(*), min(since) as since,
                   (array_agg(user_id order by change))[:10] as user_ids
            from standing
            group by reaction
        ) as each
    ),
    changed as (
        update messages
        set content = case $3 when 'edit' then $4 when 'delete' then '' else messages.content end,
            -- Null for a deletion.
            metadata = case when $5 or $3 = 'delete' then $6 else messages.metadata end,
            reactions = case when $3 = 'edit' then messages.reactions else summary.reactions end,
            edited_at = case $3 when 'edit' then clock_timestamp() else messages.edited_at end,
            deleted_at = case $3 when 'delete' then clock_timestamp() end,
            change = taken.last_change
        from taken
        cross join summary
        where messages.id = $1
        returning messages.content, messages.metadata, messages.reactions, messages.edited_at,
                  messages.deleted_at, messages.change,
                  case when $13 then
                      record_event('message.changed', messages.conversation_id, messages.id, null, null)
                  end
    ),
    message as (
        select content, metadata, reactions, edited_at, deleted_at, change from changed
        union all
        select content, metadata, reactions, edited_at, deleted_at, change
        from seen
        where not exists (select from changed)
    ),
    listeners as (
        select array_agg(participants.user_id) as user_ids,
               array_agg(
                   seen.last_seq - participants.read_up_to - (participants.sent - participants.sent_read)
               ) as unread_counts
        from seen
        join participants on participants.conversation_id = seen.conversation_id
        where seen.participant_count <= $12 and participants.first_seq <= seen.seq
    )
select
    case when verdict.verdict = 'changed' and not exists (select from taken) then 'too_many'
         else verdict.verdict end as verdict,
    -- The milliseconds until the running minute is over, if the limit refuses the change.
    case when verdict.verdict = 'changed' and not exists (select from taken) then (
        select ceil(extract(epoch from started_at + interval '1 minute' - clock_timestamp()) * 1000)::bigint
        from rates
        where user_id = $2 and what = 'message'
    ) end as retry_after_ms,
    seen.id, seen.conversation_id, seen.seq, message.content, seen.client_message_id, seen.created_at,
    (
        select read_at
        from read_marks
        where not seen.is_blocked and conversation_id = seen.conversation_id
          and user_id = case when seen.first_user_id = seen.sender_id then seen.second_user_id
                             else seen.first_user_id end
          and up_to_seq >= seen.seq
        order by up_to_seq
        limit 1
    ) as read_at,
    seen.reply_to, message.metadata, message.reactions, message.edited_at, message.deleted_at,
    message.change,
    sender.id as sender_id, sender.name as sender_name, sender.display_name as sender_display_name,
    sender.avatar_url as sender_avatar_url,
    seen.participant_count > $12 as is_large, listeners.user_ids, listeners.unread_counts,
    seen.seq = seen.last_seq as is_latest
from seen
cross join verdict
cross join message
cross join listeners
join users as sender on sender.id = seen.sender_id
