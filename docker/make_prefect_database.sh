#!/bin/sh
# Runs once, in the empty data folder of the warehouse's server: Prefect's own role and database beside the warehouse.
set -eu
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres -v password="$(cat /run/secrets/prefect_password)" <<'SQL'
CREATE ROLE prefect LOGIN PASSWORD :'password';
CREATE DATABASE prefect OWNER prefect TEMPLATE template0 ENCODING 'UTF8';
REVOKE ALL ON DATABASE prefect FROM PUBLIC;
SQL
