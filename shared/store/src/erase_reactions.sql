-- Removes some reactions that a user has given in a conversation. Returns from how many messages.
--
-- $1 conversation    $2 user    $3 number of messages
--
-- The row of the conversation is locked already.
with
    found as materialized (
        select messages.id, row_number() over (order by messages.id) as number
        from (
            select distinct message_id
            from reactions
            join messages on messages.id = reactions.message_id and messages.conversation_id = $1
            where reactions.user_id = $2
            limit $3
        ) as mine
        join messages on messages.id = mine.message_id
    ),
    taken as (
        update conversations
        set last_change = last_change + (select count(*) from found)
        where id = $1
        returning last_change - (select count(*) from found) as before
    ),
    removed as (
        delete from reactions where user_id = $2 and message_id in (select id from found)
    ),
    -- As in change_message.sql: those that are left.
    summary as (
        select message_id, json_agg(
            json_build_object('reaction', reaction, 'count', count, 'userIds', user_ids) order by since
        )::text as reactions
        from (
            select message_id, reaction, count(*), min(since) as since,
                   (array_agg(user_id order by change))[:10] as user_ids
            from reactions
            where message_id in (select id from found) and user_id <> $2
            group by message_id, reaction
        ) as each
        group by message_id
    ),
    changed as (
        update messages
        set reactions = summary.reactions, change = taken.before + found.number
        from taken
        cross join found
        left join summary on summary.message_id = found.id
        where messages.id = found.id
    )
select count(*) as erased from found
