-- How many mappings stand between what came in and what this delivery makes: a chain of mappings ends.
alter table delivery add column hops bigint not null default 0;
