-- Acts happen once, at their time, for a reason. `begun_ms`: when the first request went out whose effect is
-- not known to be nothing; from then on the act is frozen. `remote`: what the far side calls it.
alter table delivery add column reason text not null default '';
alter table delivery add column not_before_ms bigint not null default 0;
alter table delivery add column begun_ms bigint not null default 0;
alter table delivery add column remote text not null default '';
alter table delivery add column write_back bigint not null default 0;

-- What the destination wants to know again about a place: the UID of the object there, its generation. Only
-- the destination reads it.
alter table slot add column remote text not null default '';
