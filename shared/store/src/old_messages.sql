-- Which conversations have messages that are older than some days, and up to which seq, among the messages
-- that follow one in the order of their ids.
--
-- $1 days    $2 the last message that was looked at, or null    $3 number of messages
--
-- Ids are ordered by the clocks of the functions, which may differ.
with looked as materialized (
    select id, conversation_id, seq, created_at
    from messages
    where id < uuid_at(clock_timestamp() - make_interval(days => $1) + interval '1 minute')
      and ($2 is null or id > $2)
    order by id
    limit $3
)
select conversation_id,
       max(seq) filter (where created_at < clock_timestamp() - make_interval(days => $1)) as seq,
       (select max(id::text)::uuid from looked) as last_id
from looked
group by conversation_id
