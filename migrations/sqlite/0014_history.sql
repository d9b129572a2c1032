-- The histories of a type and of everything: each version of a resource (documents have none) by time. The
-- position is that of its change, so that versions of one commit have an order too.
create table history (
    tenant     text not null,
    updated_ms bigint not null,
    position   bigint not null,
    kind       text not null,
    rid        bigint not null,
    version    bigint not null,
    primary key (tenant, updated_ms, position)
) without rowid;
create index history_by_kind on history (tenant, kind, updated_ms, position);

insert into history (tenant, updated_ms, position, kind, rid, version)
select c.tenant, v.updated_ms, c.position, r.kind, c.rid, c.version
from change c
join version v on v.tenant = c.tenant and v.rid = c.rid and v.version = c.version
join resource r on r.tenant = c.tenant and r.rid = c.rid
where r.kind not like '%.%';

-- SQLite's planner is told the size of the new index, as in 0003.
insert into sqlite_stat1 (tbl, idx, stat) values
    ('history', 'history', '3000000 3000000 10 1'),
    ('history', 'history_by_kind', '3000000 3000000 150000 10 1');
analyze sqlite_schema;
