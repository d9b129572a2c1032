-- Which one of a series an act is, from 1; 0: no act.
alter table delivery add column occurrence bigint not null default 0;

-- What a delivery waits for before it can go out at all: `link:Patient/1`, `needs:contact`, `mapping:NAME`.
-- Empty: nothing. It does not hold up its lane meanwhile.
alter table delivery add column waits_for text not null default '';
create index delivery_waits on delivery (tenant, destination, waits_for) where waits_for <> '';

-- What a later evaluation wants of an act that had begun: it is taken up only if nothing came of the request.
alter table delivery add column pending text not null default '';

-- Whether the mapping's file is loaded: acts of one that is not do not begin.
alter table mapping add column loaded bigint not null default 1;

-- SQLite's planner is told the size of the new index, as in 0003.
insert into sqlite_stat1 (tbl, idx, stat) values ('delivery', 'delivery_waits', '10000 10000 3000 5');
analyze sqlite_schema;
