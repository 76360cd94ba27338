"""Random linkage schemas of every kind of field and comparison, with records that fit them and some that do not."""

from __future__ import annotations

import base64
import random
from typing import Any

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ '-"
WIDE = "éüøßñžșçığł’中文字漢🙂𝔘\u0301"
DATE_FORMATS = ("%Y-%m-%d", "%d/%m/%Y", "%Y%m%d", "%d.%m.%Y", "%d %b %Y", "%d%m%y", "%m-%d-%Y")


def generated_schema(rng: random.Random, features: int | None = None) -> dict[str, Any]:
    """A version 3 schema."""
    bits = rng.choice([8, 64, 256, 512, 1024, 1024, 2048, 4096])
    doubles_only = rng.random() < 0.25
    if doubles_only:
        bits = rng.choice([10, 100, 1000, 1023, 1536, 2000])
    kdf: dict[str, Any] = {"type": "HKDF"}
    if rng.random() < 0.6:
        kdf["hash"] = rng.choice(["SHA256", "SHA512"])
    for part in ("salt", "info"):
        if rng.random() < 0.6:
            kdf[part] = base64.b64encode(rng.randbytes(rng.randrange(0, 70))).decode()
    if rng.random() < 0.6:
        kdf["keySize"] = rng.choice([1, 16, 32, 63, 64])
    count = features or rng.randrange(1, 7)
    described = [_generated_feature(rng, i, doubles_only) for i in range(count)]
    return {"version": 3, "clkConfig": {"l": bits, "kdf": kdf}, "features": described}


def _generated_feature(rng: random.Random, number: int, doubles_only: bool) -> dict[str, Any]:
    if rng.random() < 0.1:
        return {"identifier": f"f{number}", "ignored": True}
    form = _generated_format(rng)
    hashing: dict[str, Any] = {
        "comparison": _generated_comparison(rng, form),
        "strategy": rng.choice(
            [{"bitsPerToken": rng.randrange(1, 70)}, {"bitsPerFeature": rng.randrange(1, 400)}]
        ),
    }
    if doubles_only or rng.random() < 0.4:
        hashing["hash"] = {"type": "doubleHash"}
        if rng.random() < 0.5:
            hashing["hash"]["prevent_singularity"] = rng.random() < 0.7
    elif rng.random() < 0.5:
        hashing["hash"] = {"type": "blakeHash"}
    if rng.random() < 0.5:
        hashing["missingValue"] = {"sentinel": rng.choice(["", "N/A", "unknown"])}
        if rng.random() < 0.4:
            numeric = hashing["comparison"]["type"] == "numeric"
            hashing["missingValue"]["replaceWith"] = rng.choice(["7", ""]) if numeric else "none given"
    return {"identifier": f"f{number}", "format": form, "hashing": hashing}


def _generated_format(rng: random.Random) -> dict[str, Any]:
    kind = rng.choice(["string", "string", "string", "pattern", "integer", "date", "enum"])
    if kind == "integer":
        limits = {"minimum": -50, "maximum": 10**6} if rng.random() < 0.4 else {}
        return {"type": "integer", **limits}
    if kind == "date":
        return {"type": "date", "format": rng.choice(DATE_FORMATS), "description": "a day"}
    if kind == "enum":
        return {"type": "enum", "values": ["m", "f", "x", "not told"]}
    encoding = {"encoding": rng.choice(["ascii", "utf-8", "utf-16", "utf-32"])} if rng.random() < 0.7 else {}
    if kind == "pattern":
        return {"type": "string", "pattern": r"[0-9]{3,6}|[A-Za-z]+ [A-Za-z]*", **encoding}
    form: dict[str, Any] = {"type": "string", **encoding}
    if rng.random() < 0.3:
        form["case"] = rng.choice(["upper", "lower", "mixed"])
    if rng.random() < 0.3:
        form["minLength"] = rng.randrange(0, 3)
    if rng.random() < 0.3:
        form["maxLength"] = rng.randrange(3, 40)
    return form


def _generated_comparison(rng: random.Random, form: dict[str, Any]) -> dict[str, Any]:
    if form["type"] == "integer" and rng.random() < 0.4:
        return {
            "type": "numeric",
            "thresholdDistance": rng.choice([1, 3, 8, 0.5, 2.5, 100]),
            "resolution": rng.randrange(1, 12),
            "fractional_precision": rng.randrange(1, 4),
        }
    if rng.random() < 0.2:
        return {"type": "exact"}
    comparison: dict[str, Any] = {"type": "ngram", "n": rng.choice([1, 2, 2, 2, 3, 4, 5])}
    if rng.random() < 0.7:
        comparison["positional"] = rng.random() < 0.5
    return comparison


def generated_records(rng: random.Random, schema: dict[str, Any], count: int) -> list[list[str]]:
    """Mostly sound records; about one in six holds a value that may break the schema."""
    return [
        [
            _generated_value(rng, feature) if rng.random() > 0.04 else _odd_value(rng)
            for feature in schema["features"]
        ]
        for _ in range(count)
    ]


def _generated_value(rng: random.Random, feature: dict[str, Any]) -> str:
    if feature.get("ignored"):
        return rng.choice(["", "anything", "1"])
    missing = feature["hashing"].get("missingValue")
    if missing is not None and rng.random() < 0.15:
        return missing["sentinel"]
    form = feature["format"]
    if form["type"] == "integer":
        number = rng.choice([rng.randrange(-40, 100), rng.randrange(0, 10**6)])
        return rng.choice([str(number), f"{number:+d}", f" {number}", f"{number:05d}"])
    if form["type"] == "date":
        return _generated_date(rng, form["format"])
    if form["type"] == "enum":
        return rng.choice(form["values"])
    if "pattern" in form:
        return rng.choice([str(rng.randrange(100, 10**6)), f"{_word(rng)} {_word(rng)}", _word(rng) + " "])
    text = "".join(rng.choices(LETTERS, k=rng.randrange(form.get("minLength", 0), form.get("maxLength", 20))))
    if rng.random() < 0.3:
        text = text[:-1] + rng.choice(WIDE)
    return {"upper": text.upper(), "lower": text.lower()}.get(form.get("case", ""), text)


def _generated_date(rng: random.Random, date_format: str) -> str:
    import datetime as dt

    date = dt.date(rng.randrange(1000, 2030), rng.randrange(1, 13), rng.randrange(1, 29))
    if "%y" in date_format:
        date = date.replace(year=rng.randrange(1970, 2030))
    text = date.strftime(date_format)
    return text.replace("-0", "-") if rng.random() < 0.1 else text


def _word(rng: random.Random) -> str:
    return "".join(rng.choices(LETTERS[:52], k=rng.randrange(1, 9)))


def _odd_value(rng: random.Random) -> str:
    return rng.choice(
        ["", " ", "0", "-0", "1_000", "٣٤", "1e3", "nan", "inf", "3.7", "31/02/2001", "2001-02-30", "0980-01-01",
         "É", "ǅ", "a\nb", 'quo"te', "x" * 50, "2001-1-1", "🙂🙂", "1900-01-01 ", "ß"]
    )  # fmt: skip
