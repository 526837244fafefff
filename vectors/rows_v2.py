"""Writes rows_v2.json, or with --check compares it byte for byte. A second implementation of
docs/protocol.md §1 Rows: RFC 5869 and RFC 9162 §2.1 written out over hashlib and hmac alone."""

import hashlib
import hmac
import json
import pathlib
import sys

LABEL = b"LICEN/rows/v2"


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def rows_key(dataset_key, dataset_uid):
    """HKDF-SHA256 (RFC 5869): extract, then one block of expand, which is 32 bytes."""
    prk = hmac.new(dataset_uid, dataset_key, hashlib.sha256).digest()
    return hmac.new(prk, LABEL + b"\x01", hashlib.sha256).digest()


def split(n):
    """The largest power of two that is smaller than n (RFC 9162 §2.1.1)."""
    return 1 << (n - 1).bit_length() - 1


def tree(leaves):
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha256(b"\x01", tree(leaves[:k]), tree(leaves[k:]))


def path(index, leaves):
    """The siblings of a leaf, from the bottom to the top (RFC 9162 §2.1.3.1)."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if index < k:
        return path(index, leaves[:k]) + [tree(leaves[k:])]
    return path(index - k, leaves[k:]) + [tree(leaves[:k])]


def case(name, dataset_key, dataset_uid, rows, shown, rule=None):
    key = rows_key(dataset_key, dataset_uid)
    salts = [sha256(key, index.to_bytes(8, "big")) for index in range(len(rows))]
    leaves = [sha256(b"\x00", salt, row.encode()) for salt, row in zip(salts, rows)]
    return {
        "name": name,
        "datasetKey": text(dataset_key),
        "datasetUid": text(dataset_uid),
        "rowsKey": text(key),
        "rowCount": len(rows),
        "rows": None if rule else rows,
        "rowRule": rule,
        "rowsRoot": text(tree(leaves)),
        "shown": [
            {
                "index": index,
                "row": rows[index],
                "salt": text(salts[index]),
                "leaf": text(leaves[index]),
                "proof": [text(sibling) for sibling in path(index, leaves)],
            }
            for index in shown
        ],
    }


def text(value):
    return "0x" + value.hex()


def vectors():
    key, uid = bytes(range(32)), sha256(b"uid")
    few = ['{"text":"a"}', '{"text":"\U0001f9ea \u2028"}', '{"messages":[]}']
    cases = [case("one row", key, uid, few[:1], [0]), case("three rows, emoji", key, uid, few, [0, 1, 2])]
    for count in (2, 4, 5, 7, 8, 9, 1000, 1025):
        rows = [f'{{"text":"row {index}"}}' for index in range(count)]
        rule = 'row i is {"text":"row i"} with i in decimal' if count > 9 else None
        shown = sorted({0, 1, count // 2, count - 1})
        key, uid = sha256(f"key{count}".encode()), sha256(f"uid{count}".encode())
        cases.append(case(f"{count} rows", key, uid, rows, shown, rule))
    source = "hashlib and hmac of Python alone, RFC 5869 and RFC 9162 written out"
    return {"source": source, "label": LABEL.decode(), "cases": cases}


if __name__ == "__main__":
    file = pathlib.Path(__file__).with_suffix(".json")
    made = json.dumps(vectors(), indent=1) + "\n"
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if file.read_text() == made else f"{file.name} is not what this program makes")
    file.write_text(made)
