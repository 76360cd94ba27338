"""Run by a Python that has clkhash: seconds of CPU time that it needs for a CSV file, its CLKs to a file.

`python clkhash_timing.py SCHEMA.json DATA.csv CLKS.json`; the time covers encoding only, from rows in memory.
"""

import csv
import json
import sys
import time

from clkhash import clk
from clkhash import schema as schemas
from clkhash.key_derivation import generate_key_lists
from clkhash.serialization import serialize_bitarray


def main(schema_file, data_file, clks_file):
    with open(schema_file) as file:
        schema = schemas.from_json_file(file)
    with open(data_file, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    keys = generate_key_lists(
        "horse staple",
        len(schema.fields),
        key_size=schema.kdf_key_size,
        salt=schema.kdf_salt,
        info=schema.kdf_info,
        hash_algo=schema.kdf_hash,
    )
    start = time.process_time()
    clks = []
    for first in range(0, len(rows), 1000):
        filters, _ = clk.hash_chunk(rows[first : first + 1000], keys, schema)
        clks.extend(filters)
    taken = time.process_time() - start
    with open(clks_file, "w") as file:
        json.dump({"clks": [serialize_bitarray(filter_) for filter_ in clks], "cpu_s": taken}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
