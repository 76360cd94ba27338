-- Nightlink's own statements on a custodian's source; what is extracted stands in hospital/ and pharmacy/.

-- name: take_snapshot
-- A REPEATABLE READ transaction fixes its snapshot with its first statement: this one.
SELECT transaction_timestamp() AS taken_at

-- name: plan_for_all_rows
-- By default the planner expects that a tenth of a cursor's rows will be fetched; all of them will.
SET LOCAL cursor_tuple_fraction = 1

-- name: table_columns
-- From the catalogue, since information_schema hides what the role may not read. No row: no such table.
SELECT attname, format_type(atttypid, atttypmod)
FROM pg_attribute
WHERE attrelid = to_regclass(:table_name) AND attnum > 0 AND NOT attisdropped
ORDER BY attnum
