-- Nightlink's own statements on a custodian's source; what is extracted stands in hospital/ and pharmacy/.

-- name: take_snapshot
-- A REPEATABLE READ transaction fixes its snapshot with its first statement: this one.
SELECT transaction_timestamp() AS taken_at

-- name: copy_rows
-- The statement's text is put in by the caller: COPY takes no parameters. It may end in a comment of a line.
COPY (
:statement
) TO STDOUT WITH (FORMAT binary)

-- name: table_columns
-- From the catalogue, since information_schema hides what the role may not read. No row: no such table.
SELECT attname, format_type(atttypid, atttypmod)
FROM pg_attribute
WHERE attrelid = to_regclass(:table_name) AND attnum > 0 AND NOT attisdropped
ORDER BY attnum
