"""Checks seal.json: what key sharing hashes, binds and encodes, by a second implementation over
Python's standard library. Everything is recomputed from the inputs that stand in the file, and the
file must come out byte for byte. crates/seal/tests/fixtures/generate_js.mjs wrote it."""

import hashlib
import json
import pathlib
import sys


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def uint(value, size):
    return value.to_bytes(size, "big")


def cbor(value):
    """Canonical CBOR (RFC 8949 §4.2.1) of integers, texts, byte strings and maps."""
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    pairs = sorted((cbor(key), cbor(member)) for key, member in value.items())
    return head(5, len(pairs)) + b"".join(key + member for key, member in pairs)


def head(kind, argument):
    if argument < 24:
        return bytes([kind << 5 | argument])
    size = next(size for size in (1, 2, 4, 8) if argument < 1 << 8 * size)
    return bytes([kind << 5 | 23 + size.bit_length()]) + uint(argument, size)


def times(a, b):
    """The product in GF(2^8) by x^8 + x^4 + x^3 + x + 1, bit by bit."""
    product = 0
    for bit in range(8):
        product ^= (a << bit) * (b >> bit & 1)
    for bit in range(14, 7, -1):
        product ^= (0x11B << bit - 8) * (product >> bit & 1)
    return product


def share(secret, coefficients, x):
    """The polynomial at x, byte by byte, by Horner's rule from the highest coefficient down."""
    at = bytes(32)
    for coefficient in reversed([secret, *coefficients]):
        at = bytes(times(a, x) ^ c for a, c in zip(at, coefficient))
    return at


def vectors(given):
    def raw(name):
        return bytes.fromhex(given[name])

    key, contract, uid, job = raw("key"), raw("contract"), raw("datasetUid"), raw("jobId")
    result_hash, custodian, public = raw("resultHash"), raw("custodianId"), bytes.fromhex(given["shareAad"]["pk"])
    chain, attempt, t = given["chainId"], given["attempt"], given["shamir"]["t"]
    coefficients = [bytes.fromhex(c) for c in given["shamir"]["coefficients"]]
    shares = [share(key, coefficients, x) for x in range(1, 6)]
    dek_commit = sha256(b"LICEN/dek/v2", uid, key)
    share_commit = sha256(b"LICEN/share/v2", uid, uint(1, 1), shares[0])
    share_aad = {
        "v": 2, "suite": 1, "chainId": chain, "datasetUid": uid, "uses": "job", "t": t, "n": 5,
        "requiredLevel": 1, "custodianSet": b"\x33" * 32, "setVersion": 7, "dekCommit": dek_commit,
        "i": 1, "custodianId": custodian, "pk": public, "shareCommit": share_commit,
    }
    result_share_aad = {
        "chainId": chain, "contract": contract, "jobId": job, "attempt": attempt, "resultHash": result_hash
    }
    made = {
        "datasetAad": b"LICEN/dataset/v2" + uint(chain, 32) + uid,
        "resultAad": b"LICEN/result/v2" + uint(chain, 32) + contract + job,
        "dekCommit": dek_commit,
        "resultKeyCommit": sha256(b"LICEN/result-key/v2", job, uint(attempt, 4), key),
        "shareCommit": share_commit,
        "resultShareCommit": sha256(b"LICEN/result-share/v2", job, uint(attempt, 4), uint(1, 1), shares[0]),
        "resultShareAad": cbor(result_share_aad),
        "resultReleaseAad": job + result_hash + custodian + uint(1, 1),
    }
    numbered = [{"i": x, "share": value.hex()} for x, value in enumerate(shares, 1)]
    return {
        **given,
        **{name: value.hex() for name, value in made.items()},
        "shamir": {**given["shamir"], "shares": numbered},
        "shareAad": {**given["shareAad"], "cbor": cbor(share_aad).hex()},
    }


if __name__ == "__main__":
    text = pathlib.Path(__file__).with_suffix(".json").read_text()
    given = json.loads(text)
    if json.dumps(vectors(given), indent=1) + "\n" != text:
        differ = [name for name, value in vectors(given).items() if value != given[name]]
        sys.exit(f"seal.json has another {', '.join(differ) or 'layout'}")
