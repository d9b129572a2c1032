-- What other acts did, for one whose outcome is not known: what the far side called theirs, and those of
-- which nobody knows either.
create index delivery_remote on delivery (tenant, destination, remote) where remote <> '';
create index delivery_open on delivery (tenant, destination) where begun_ms > 0 and remote = '';

-- SQLite's planner is told the size of the new indexes, as in 0003.
insert into sqlite_stat1 (tbl, idx, stat) values
    ('delivery', 'delivery_remote', '500000 500000 100000 1'),
    ('delivery', 'delivery_open', '200 200 50');
analyze sqlite_schema;
