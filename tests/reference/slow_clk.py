"""The slow, obvious twin of the CLK encoder: one record at a time, one bit at a time."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import re
from typing import Any


def slow_keys(secret: str, kdf: dict[str, Any], features: int) -> list[tuple[bytes, bytes]]:
    """RFC 5869 written out."""
    name = {"SHA256": "sha256", "SHA512": "sha512"}[kdf.get("hash", "SHA256")]
    salt, info = (base64.b64decode(kdf.get(part, "")) for part in ("salt", "info"))
    size = kdf.get("keySize", 64)
    extracted = hmac.digest(salt, secret.encode(), name)
    material, block, counter = b"", b"", 1
    while len(material) < 2 * features * size:
        block = hmac.digest(extracted, block + info + bytes([counter]), name)
        material += block
        counter += 1
    keys = [material[i * size : (i + 1) * size] for i in range(2 * features)]
    return [(keys[2 * i], keys[2 * i + 1]) for i in range(features)]


def slow_tokens(text: str, comparison: dict[str, Any]) -> list[str]:
    if text == "":
        return []
    if comparison["type"] == "exact":
        return [text]
    if comparison["type"] == "numeric":
        return _slow_numeric(text, comparison)
    n = comparison["n"]
    padded = " " * (n - 1) + text + " " * (n - 1)
    grams = [padded[i : i + n] for i in range(len(padded) - n + 1)]
    return [f"{i} {gram}" for i, gram in enumerate(grams, 1)] if comparison.get("positional") else grams


def _slow_numeric(text: str, comparison: dict[str, Any]) -> list[str]:
    digits = comparison.get("fractional_precision", 0)
    interval = round(comparison["thresholdDistance"] * 10**digits)
    try:
        number = int(text) * 10**digits
    except ValueError:
        number = round(float(text) * 10**digits) if digits else int(float(text))
    scaled = number * 2 * comparison["resolution"]
    below = scaled - scaled % interval
    nearest = below if scaled - below < interval / 2 or scaled == below else below + interval
    reach = comparison["resolution"]
    return [str(nearest + i * interval) for i in range(-reach, reach + 1)]


def slow_format(text: str, feature: dict[str, Any]) -> str:
    missing = feature["hashing"].get("missingValue")
    if missing is not None and text == missing["sentinel"]:
        return missing.get("replaceWith", text)
    if feature["format"]["type"] == "integer":
        return str(int(text))
    if feature["format"]["type"] == "date":
        date = dt.datetime.strptime(text, feature["format"]["format"])
        return f"{date.year}{date.month:02}{date.day:02}"
    return text


def slow_is_sound(text: str, feature: dict[str, Any]) -> bool:
    """Whether a value keeps its feature's format."""
    form, missing = feature["format"], feature["hashing"].get("missingValue")
    try:
        formatted = slow_format(text, feature)
        formatted.encode(form.get("encoding", "utf-8"))
        slow_tokens(formatted, feature["hashing"]["comparison"])
    except (ValueError, OverflowError):
        return False
    if missing is not None and text == missing["sentinel"]:
        return True
    if form["type"] == "integer":
        number = int(text)
        return form.get("minimum", number) <= number <= form.get("maximum", number)
    if form["type"] == "enum":
        return text in form["values"]
    if "pattern" in form:
        return re.fullmatch(form["pattern"], text) is not None
    case = {"upper": text.upper(), "lower": text.lower()}.get(form.get("case", ""), text)
    return case == text and form.get("minLength", 0) <= len(text) <= form.get("maxLength", len(text))


def slow_positions(
    token: bytes, k: int, keys: tuple[bytes, bytes], bits: int, hash_: dict[str, Any]
) -> list[int]:
    if hash_["type"] == "blakeHash":
        words: list[int] = []
        for salt in range((k + 31) // 32):
            digest = hashlib.blake2b(token, key=keys[0], salt=str(salt).encode()).digest()
            words += [digest[i] + 256 * digest[i + 1] for i in range(0, 64, 2)]
        return [word % bits for word in words[:k]]
    first = int(hmac.new(keys[0], token, "sha1").hexdigest(), 16) % bits
    step = int(hmac.new(keys[1], token, "md5").hexdigest(), 16) % bits
    attempt = 0
    while hash_.get("prevent_singularity") and step == 0:
        step = int(hmac.new(keys[1], token + chr(attempt).encode(), "md5").hexdigest(), 16) % bits
        attempt += 1
    return [(first + i * step) % bits for i in range(k)]


def slow_clk(record: list[str], schema: dict[str, Any], secret: str, folds: int = 0) -> bytes | None:
    """The record's CLK by a version 3 schema, or None when a value breaks the schema."""
    config = schema["clkConfig"]
    bits = config["l"] << folds
    keys = slow_keys(secret, config["kdf"], len(schema["features"]))
    lit = [0] * bits
    for text, feature, pair in zip(record, schema["features"], keys, strict=True):
        if feature.get("ignored"):
            continue
        if not slow_is_sound(text, feature):
            return None
        hashing = feature["hashing"]
        tokens = slow_tokens(slow_format(text, feature), hashing["comparison"])
        encoding = {"utf-16": "utf-16", "utf-32": "utf-32"}.get(
            feature["format"].get("encoding", ""), "utf-8"
        )
        for place, token in enumerate(tokens):
            strategy = hashing["strategy"]
            k = strategy.get("bitsPerToken") or (
                strategy["bitsPerFeature"] // len(tokens) + (place < strategy["bitsPerFeature"] % len(tokens))
            )
            hash_ = hashing.get("hash", {"type": "blakeHash"})
            for position in slow_positions(token.encode(encoding), k, pair, bits, hash_):
                lit[position] = 1
    for _ in range(folds):
        half = len(lit) // 2
        lit = [a ^ b for a, b in zip(lit[:half], lit[half:], strict=True)]
    lit += [0] * (-len(lit) % 8)
    return bytes(
        sum(bit << (7 - i) for i, bit in enumerate(lit[at : at + 8])) for at in range(0, len(lit), 8)
    )
