-- What a person asked for (`mjumbe replay`): bits of `store::changes::Replay`. 0: a look-up may read another
-- thing now.
alter table revisit add column replay bigint not null default 0;

-- The version was replayed without its acts: nothing that is evaluated again because of a look-up makes them.
-- A newer version of the source does.
alter table evaluation add column acts_withheld bigint not null default 0;
