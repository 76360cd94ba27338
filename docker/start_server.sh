#!/bin/sh
# Start Prefect's server. Its database password comes from a secret file, not from the environment that compose shows.
set -eu
umask 077
PREFECT_SERVER_DATABASE_CONNECTION_URL="postgresql+asyncpg://prefect:$(cat /run/secrets/prefect_password)@warehouse-db:5432/prefect"
export PREFECT_SERVER_DATABASE_CONNECTION_URL
exec prefect server start --host 0.0.0.0 --port 4200
