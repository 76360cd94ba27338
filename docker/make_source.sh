#!/bin/sh
# Runs once, in the empty data folder of an example source: its tables, the extracting role, and that role's password.
# A real source exists already; only its roles.sql applies there.
set -eu
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f /sql/schema.sql -f /sql/roles.sql
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -v password="$(cat /run/secrets/extractor_password)" <<SQL
ALTER ROLE ${POSTGRES_DB}_extractor PASSWORD :'password';
SQL
