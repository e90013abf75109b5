-- Finds erasures that do not finish. It has no entries yet, so it takes as long as to read the table once.
create index users_erasing_since_idx on users (erasing_since) where erasing_since is not null;
