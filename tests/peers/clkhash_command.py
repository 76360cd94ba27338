"""Run by a Python that has clkhash 0.18.3: what its command does with a file of people.

``people N SCHEMA_NAME FOLDER`` writes clkhash's own random people and its own schema of them; ``hash SCHEMA KEY CSV
OUT HEADER`` writes the CLKs. clkhash 0.18.3 has no command of its own any longer; this is its library's function for a
CSV file, and the ``json.dump`` of its documentation.
"""

import csv
import json
import pkgutil
import random
import sys
from pathlib import Path

from clkhash import clk
from clkhash import schema as schemas
from clkhash.randomnames import NameList
from clkhash.serialization import serialize_bitarray

HEADERS = {"check": True, "ignore": "ignore", "none": False}


def write_people(count: str, schema_name: str, folder: str) -> None:
    random.seed(7)
    people = NameList(int(count))
    with Path(folder, "people.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([field.identifier for field in people.schema_types])
        writer.writerows(people.names)
    Path(folder, "schema.json").write_bytes(pkgutil.get_data("clkhash", f"data/{schema_name}.json"))


def write_clks(schema_file: str, key_file: str, people: str, out: str, header: str) -> None:
    with Path(schema_file).open(encoding="utf-8") as file:
        schema = schemas.from_json_file(file)
    secret = Path(key_file).read_text(encoding="utf-8").strip()
    with Path(people).open(newline="", encoding="utf-8") as file:
        clks = clk.generate_clk_from_csv(
            file, secret, schema, header=HEADERS[header], progress_bar=False, max_workers=1
        )
    with Path(out).open("w", encoding="utf-8") as file:
        json.dump({"clks": [serialize_bitarray(one) for one in clks]}, file)


if __name__ == "__main__":
    {"people": write_people, "hash": write_clks}[sys.argv[1]](*sys.argv[2:])
