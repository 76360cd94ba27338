#!/bin/sh
# start_worker.sh POOL DEPLOYMENT: create the work pool if need be, deploy this party's own flow, start its worker.
# The flow is deployed from the party's own image: deploying imports it, and no other image holds its code.
set -eu
umask 077
prefect work-pool inspect "$1" >/dev/null 2>&1 || prefect work-pool create --type process "$1"
prefect --no-prompt deploy --name "$2" --pool "$1" --prefect-file deployments/prefect.yaml
exec prefect worker start --type process --pool "$1" --name "$1-worker"
