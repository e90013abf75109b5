-- Conversations of any size. Nothing was released before this, so it changes what is there instead of expanding it
-- first.

-- How far a participant has read is a position instead of a mark on each message, and a message moves no index entry
-- for each participant, so that a message costs the same whoever listens.

alter table conversations
    alter column first_user_id drop not null,
    alter column second_user_id drop not null,
    -- The name of a group, which is a conversation without a pair of users.
    add column title text,
    -- The picture of a group.
    add column avatar_url text,
    -- Who made a group, and the name that their client gave to it, by which a repeat is recognised.
    add column creator_id text collate "C",
    add column client_conversation_id text,
    -- The number of participants; 0 while the messages of a group that has ended are being deleted.
    add column participant_count integer not null default 2,
    -- The number of changes of the title, the avatar and the participants.
    add column last_change bigint not null default 0,
    -- Counted up when a participant is added or removed. A send that has waited for this row sees by it that
    -- the participants it has read are outdated.
    add column roster bigint not null default 0,
    -- Finds the group that a repeated request has made.
    add constraint conversations_client_conversation_id_key unique (creator_id, client_conversation_id),
    add constraint conversations_pair_or_title check (
        case
            when title is null then
                first_user_id is not null and second_user_id is not null
                and avatar_url is null and creator_id is null
            else first_user_id is null and second_user_id is null and creator_id is not null
        end
    ),
    add constraint conversations_title_length check (char_length(title) between 1 and 200),
    add constraint conversations_avatar_url_length check (char_length(avatar_url) between 1 and 1000),
    add constraint conversations_client_conversation_id_length check (
        char_length(client_conversation_id) between 1 and 64
    ),
    add constraint conversations_creator_id_fkey foreign key (creator_id) references users (id);

-- Every message makes a new version of the row. No index holds what it changes, so that the new version stays on the
-- page of the old one as long as that has room (a HOT update).
drop index conversations_first_user_activity_idx;
drop index conversations_second_user_activity_idx;
alter table conversations set (fillfactor = 50);

alter table participants
    -- What the participant may do in a group: 'owner' or 'member'.
    add column role text not null default 'member',
    -- When the participant was added.
    add column joined_at timestamptz,
    -- A participant sees the messages from this one on.
    add column first_seq bigint not null default 1,
    -- The position: all messages up to this one are read.
    add column read_up_to bigint not null default 0,
    -- How many messages the participant has sent since first_seq, and how many of those are not above the
    -- position. Own messages are never unread: what is unread is last_seq - read_up_to - (sent - sent_read).
    add column sent bigint not null default 0,
    add column sent_read bigint not null default 0,
    -- The day (UTC) of the latest activity that the participant sees: a message, or joining.
    add column active_on date;

-- The position is just below the first unread message.
with
    positions as (
        select
            participants.conversation_id, participants.user_id, conversations.created_at,
            coalesce(conversations.last_message_at, conversations.created_at) as activity,
            coalesce(
                (
                    select min(messages.seq) - 1
                    from messages
                    where messages.conversation_id = participants.conversation_id
                      and messages.sender_id <> participants.user_id
                      and messages.read_at is null
                ),
                conversations.last_seq
            ) as read_up_to
        from participants
        join conversations on conversations.id = participants.conversation_id
    ),
    counts as (
        select messages.conversation_id, messages.sender_id, count(*) as sent,
               count(*) filter (where messages.seq <= positions.read_up_to) as sent_read
        from messages
        join positions
          on positions.conversation_id = messages.conversation_id and positions.user_id = messages.sender_id
        group by messages.conversation_id, messages.sender_id
    )
update participants
set joined_at = positions.created_at,
    read_up_to = positions.read_up_to,
    sent = coalesce(counts.sent, 0),
    sent_read = coalesce(counts.sent_read, 0),
    active_on = (positions.activity at time zone 'UTC')::date
from positions
left join counts
  on counts.conversation_id = positions.conversation_id and counts.sender_id = positions.user_id
where participants.conversation_id = positions.conversation_id and participants.user_id = positions.user_id;

alter table participants
    alter column joined_at set default clock_timestamp(),
    alter column joined_at set not null,
    alter column active_on set default (clock_timestamp() at time zone 'UTC')::date,
    alter column active_on set not null,
    drop column unread_count,
    add constraint participants_role check (role in ('owner', 'member')),
    add constraint participants_first_seq_positive check (first_seq > 0),
    add constraint participants_positions check (
        read_up_to >= first_seq - 1 and sent_read between 0 and sent
    );
-- Every message makes a new version of the row of its sender.
alter table participants set (fillfactor = 70);

-- The conversations of a user, newest day first. The page that reads them sorts within a day, so that only the first
-- message of a day moves an entry.
--
-- The collation differs from that of the column, so only a query that names it uses this index. Otherwise the planner
-- might take this index instead of the primary key to find one participant, and read all conversations of the user.
create index participants_user_activity_idx on participants ((user_id collate "POSIX"), active_on desc);

-- In a conversation of two: when a participant has read up to a message. A message was read when the first mark of
-- the other participant reached it.
create table read_marks (
    conversation_id uuid not null,
    user_id text collate "C" not null,
    up_to_seq bigint not null,
    read_at timestamptz not null,

    -- Finds the first mark that reached a message.
    constraint read_marks_pkey primary key (conversation_id, user_id, up_to_seq),
    constraint read_marks_participant_fkey foreign key (conversation_id, user_id)
        references participants (conversation_id, user_id) on delete cascade
);

-- A mark at the last of each run of messages that were read at once.
insert into read_marks (conversation_id, user_id, up_to_seq, read_at)
select conversation_id, reader_id, seq, read_at
from (
    select messages.conversation_id, participants.user_id as reader_id, messages.seq, messages.read_at,
           lead(messages.read_at) over (
               partition by messages.conversation_id, participants.user_id order by messages.seq
           ) as next_read_at
    from messages
    join participants
      on participants.conversation_id = messages.conversation_id
     and participants.user_id <> messages.sender_id
) as received
where read_at is not null and read_at is distinct from next_read_at;

-- Takes messages_unread_idx with it. A deleted message will keep its place with an empty content.
alter table messages
    drop column read_at,
    drop constraint messages_content_length,
    add constraint messages_content_length check (char_length(content) <= 2000);

-- Aborts the statement that calls it, which then runs again: it has waited for a row, and what it had read before is
-- outdated.
create function lost_race() returns boolean language plpgsql as $$
begin
    raise exception 'what was read before a wait is outdated' using errcode = 'serialization_failure';
end
$$;
