-- As in V11.
alter table participants
    drop constraint participants_role,
    drop constraint participants_first_seq_positive,
    drop constraint participants_positions;
