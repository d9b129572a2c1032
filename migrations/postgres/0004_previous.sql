-- Which version `$.previous` is. The version of a row may be evaluated again; then the one that was acted
-- on before it is meant, not itself. Null: it was the first.
alter table evaluation add column previous bigint;
