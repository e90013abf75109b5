-- Locks the conversation of a message.
--
-- $1 message    $2 user    $3 whether the messages and changes of a user are limited
--
-- First the row that counts them, as a send does, so that a send and a change of one user do not wait for
-- each other. If the user has no such row yet, they may: then Postgres aborts one of them, which is repeated.
with counted as materialized (
    select from rates where $3 and user_id = $2 and what = 'message' for no key update
)
select
from conversations
where id = (select conversation_id from messages where id = $1) and (select count(*) from counted) >= 0
for no key update
