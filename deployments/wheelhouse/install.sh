#!/bin/sh
# sh install.sh FOLDER: a virtual environment in FOLDER with Nightlink in it, from the wheels beside this script.
set -eu
[ $# -eq 1 ] || { echo "usage: sh install.sh FOLDER" >&2; exit 2; }
mkdir -p "$(dirname "$1")"
target=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
cd "$(dirname "$0")"
python=${PYTHON:-python3.11}
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is needed: PYTHON=/path/to/python3.11 sh install.sh FOLDER" >&2; exit 1; }
"$python" -m venv "$target"
# This machine's pip settings play no part.
PIP_CONFIG_FILE=/dev/null "$target/bin/python" -m pip install --quiet --disable-pip-version-check --no-index \
    --find-links wheels --require-hashes --only-binary :all: --no-deps -r requirements.txt
"$target/bin/nightlink" custodian --help > /dev/null
echo "installed: $target/bin/nightlink"
