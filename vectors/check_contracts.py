#!/usr/bin/env python3
"""Computes everything in contracts.json a second time, from the inputs in it alone.

    python3 vectors/check_contracts.py [FILE]

It needs no network and no package: ABI encoding, EIP-712 and Keccak-256 are written out below (the
hashlib of Python has SHA-3, which pads differently). The type of every field is written down here, not
read from the contracts, so a changed struct, label or formula fails until both sides say it. It ends
with 1 where anything differs or where the file has something that is not checked.
"""

import json
import sys
from pathlib import Path

# ------------------------------------------------------------------------------------------ Keccak-256

ROUND_CONSTANTS = (
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000,
    0x000000000000808B, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008A, 0x0000000000000088, 0x0000000080008009, 0x000000008000000A,
    0x000000008000808B, 0x800000000000008B, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
)
MASK = (1 << 64) - 1
RATE = 136


def rotate(lane: int, by: int) -> int:
    by %= 64
    return ((lane << by) | (lane >> (64 - by))) & MASK


def permute(state: list[int]) -> list[int]:
    """Keccak-f[1600]; lane (x, y) lies at x + 5y."""
    for constant in ROUND_CONSTANTS:
        column = [state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20] for x in range(5)]
        mixed = [column[(x - 1) % 5] ^ rotate(column[(x + 1) % 5], 1) for x in range(5)]
        state = [lane ^ mixed[i % 5] for i, lane in enumerate(state)]
        moved = [state[0]] + [0] * 24
        x, y = 1, 0
        for step in range(24):
            to_x, to_y = y, (2 * x + 3 * y) % 5
            moved[to_x + 5 * to_y] = rotate(state[x + 5 * y], (step + 1) * (step + 2) // 2)
            x, y = to_x, to_y
        state = [
            moved[x + 5 * y] ^ (~moved[(x + 1) % 5 + 5 * y] & moved[(x + 2) % 5 + 5 * y] & MASK)
            for y in range(5)
            for x in range(5)
        ]
        state[0] ^= constant
    return state


def keccak256(data: bytes) -> bytes:
    padded = bytearray(data) + b"\x01" + b"\x00" * (RATE - 1 - len(data) % RATE)
    padded[-1] |= 0x80
    state = [0] * 25
    for block in range(0, len(padded), RATE):
        for lane in range(RATE // 8):
            at = block + 8 * lane
            state[lane] ^= int.from_bytes(padded[at : at + 8], "little")
        state = permute(state)
    return b"".join(lane.to_bytes(8, "little") for lane in state[:4])


# -------------------------------------------------------------------------------------------- structs

STRUCTS = {
    "Policy": (
        "bytes32 datasetUid,bytes32 datasetRoot,address owner,bytes32 salt,uint64 version,bytes32 envelopeHash,"
        "bytes32 payee,address token,uint128 royaltyPerEpoch,uint32 maxEpochsPerRun,uint32 maxRunsPerRequester,"
        "uint32 startWindow,uint32 runWindow,uint64 policyExpiry,bytes32[] purposes,bytes32 requestersRoot,"
        "bytes32 constraintsHash,bytes32 manifestHash,bytes32 termsHash,bytes32 custodianSet,uint32 setVersion,"
        "bytes32 appraisalPolicy,uint8 requiredLevel,address operator"
    ),
    "Request": (
        "bytes32 purposeId,uint32 epochs,uint64 units,bytes32 termsHash,bytes32 jobSpecHash,bytes32 resultKey,"
        "bytes32 providerId,bytes32 verifierSet,uint32 verifierSetVersion,uint256 licenseId"
    ),
    "Job": (
        "bytes32 jobId,bytes32 policyHash,address requester,bytes32 datasetUid,bytes32 datasetRoot,"
        "bytes32 envelopeHash,address token,bytes32 payee,address operator,address owner,uint128 royaltyPerUnit,"
        "uint8 unit,uint64 units,uint32 epochs,uint128 computeFeePerEpoch,bytes32 providerId,bytes32 computePayee,"
        "uint16 protocolFeeBps,bytes32 jobSpecHash,bytes32 resultKey,bytes32 purposeId,uint256 licenseId,"
        "bytes32 custodianSet,uint32 setVersion,bytes32 verifierSet,uint32 verifierSetVersion,"
        "bytes32 appraisalPolicy,uint8 requiredLevel,uint32 runWindow,uint64 startDeadline,uint64 runDeadline,"
        "uint32 attempt,address signer,bytes32 runtimeDataHash"
    ),
    "Quote": (
        "bytes32 providerId,bytes32 jobId,bytes32 policyHash,uint256 licenseId,address token,bytes32 jobSpecHash,"
        "uint32 epochs,uint128 computeFeePerEpoch,uint64 expiresAt"
    ),
    "Approval": "bytes32 datasetUid,bytes32 requestersRoot,address requester,uint64 expires",
    "Verdict": (
        "bytes32 jobId,uint32 attempt,address signer,bytes32 runtimeDataHash,bytes32 providerId,uint8 level,"
        "bytes32 appraisalPolicy,bytes32 custodianSet,uint32 setVersion,uint64 expiresAt"
    ),
    "ResultManifest": (
        "bytes32 jobId,uint32 attempt,bytes32 datasetRoot,bytes32 resultHash,uint32 actualEpochs,uint64 samples,"
        "uint64 tokensSeen,uint64 tokensTrained,uint64 computeSeconds,uint64 evalBefore,uint64 evalAfter,"
        "bytes32 baseModelRoot,bytes32 adapterRoot,bytes32 attestationRef,bytes32 reportHash"
    ),
    "FailureReport": (
        "bytes32 jobId,uint32 attempt,uint8 reasonCode,uint32 epochsDone,bytes32 runtimeDataHash"
    ),
    "Silence": "bytes32 jobId,uint32 attempt",
    "Split": "bytes32[] accounts,uint16[] bps,uint64 start,uint64 duration",
}

# Which input is of which struct.
INPUTS = {
    "policy": "Policy",
    "split": "Split",
    "innerSplit": "Split",
    "request": "Request",
    "job": "Job",
    "startedJob": "Job",
    "verdict": "Verdict",
    "quote": "Quote",
    "approval": "Approval",
    "resultManifest": "ResultManifest",
    "failureReport": "FailureReport",
    "silence": "Silence",
}


def fields(struct: str) -> list[tuple[str, str]]:
    return [tuple(field.split(" ")) for field in STRUCTS[struct].split(",")]


def raw(text: str) -> bytes:
    if not text.startswith("0x"):
        raise ValueError(f"not hex: {text}")
    return bytes.fromhex(text[2:])


def word(kind: str, value: str) -> bytes:
    """One value as 32 bytes, refused where it does not fit its type."""
    if kind.startswith("uint"):
        number = int(value)
        if not 0 <= number < 1 << int(kind[4:]):
            raise ValueError(f"{value} is no {kind}")
        return number.to_bytes(32, "big")
    data = raw(value)
    if len(data) != {"bytes32": 32, "address": 20}[kind]:
        raise ValueError(f"{value} is no {kind}")
    return data.rjust(32, b"\x00")


def number(value: int) -> bytes:
    return value.to_bytes(32, "big")


def body(struct: str, value: dict) -> bytes:
    """The head of a struct and, behind it, its arrays."""
    layout = fields(struct)
    if set(value) != {name for _, name in layout}:
        raise ValueError(f"the fields of {struct} are others")
    head, tail = b"", b""
    for kind, name in layout:
        if kind.endswith("[]"):
            head += number(32 * len(layout) + len(tail))
            items = value[name]
            tail += number(len(items)) + b"".join(word(kind[:-2], item) for item in items)
        else:
            head += word(kind, value[name])
    return head + tail


def is_dynamic(struct: str) -> bool:
    return any(kind.endswith("[]") for kind, _ in fields(struct))


def abi_encode(struct: str, value: dict) -> bytes:
    return (number(32) if is_dynamic(struct) else b"") + body(struct, value)


def labelled_split(split: dict) -> bytes:
    """abi.encode("LICEN/split/v2", split): two offsets, the label, the split."""
    label = b"LICEN/split/v2"
    text = number(len(label)) + label.ljust(32, b"\x00")
    return number(64) + number(64 + len(text)) + text + body("Split", split)


# -------------------------------------------------------------------------------------------- EIP-712


def type_string(struct: str) -> str:
    return f"{struct}({STRUCTS[struct]})"


def struct_hash(struct: str, value: dict) -> bytes:
    out = keccak256(type_string(struct).encode())
    for kind, name in fields(struct):
        if kind.endswith("[]"):
            out += keccak256(b"".join(word(kind[:-2], item) for item in value[name]))
        else:
            out += word(kind, value[name])
    return keccak256(out)


def register_hash(policy: dict, nonce: str, deadline: str) -> bytes:
    kind = "RegisterDataset(Policy policy,uint64 nonce,uint64 deadline)" + type_string("Policy")
    return keccak256(
        keccak256(kind.encode()) + struct_hash("Policy", policy) + word("uint64", nonce) + word("uint64", deadline)
    )


def domain_separator(chain_id: bytes, contract: bytes) -> bytes:
    kind = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    return keccak256(keccak256(kind) + keccak256(b"LICEN") + keccak256(b"2") + chain_id + contract)


# ---------------------------------------------------------------------------------------------- money


def commitment(digest: bytes) -> bytes:
    """248 bits of a hash: the low 8 are a slot's state."""
    return digest[:31] + b"\x00"


def settle(case: dict) -> dict:
    """What a job's lines come to, all numbers."""
    done = {
        1: case["actualEpochs"],
        2: case["samples"],
        3: -(-case["tokensTrained"] // 1000),
        4: case["computeSeconds"],
    }[case["unit"]]
    escrow = case["royaltyPerUnit"] * case["units"] + case["computeFeePerEpoch"] * case["epochs"]
    royalty = case["royaltyPerUnit"] * min(case["units"], done)
    compute_fee = case["computeFeePerEpoch"] * case["actualEpochs"]
    return {
        "done": done,
        "escrow": escrow,
        "royalty": royalty,
        "protocolFee": royalty * case["protocolFeeBps"] // 10_000,
        "computeFee": compute_fee,
        "refund": escrow - royalty - compute_fee,
    }


def vest(case: dict) -> dict:
    elapsed = case["timestamp"] - case["start"]
    if elapsed < 0:
        vested = 0
    elif elapsed >= case["duration"]:
        vested = case["totalIn"]
    else:
        vested = case["totalIn"] * elapsed // case["duration"]
    return {"vested": vested, "part": vested * case["bps"] // 10_000}


def completed(cases: list[dict], results: tuple[str, ...], compute) -> list[dict]:
    """Each case with its results computed anew, as the decimal strings that the file has."""
    out = []
    for case in cases:
        inputs = {name: int(value) for name, value in case.items() if name not in results}
        out.append({name: str(value) for name, value in (inputs | compute(inputs)).items()})
    return out


# ----------------------------------------------------------------------------------------- everything


def compute(given: dict) -> dict:
    """The whole file, from its inputs."""
    chain_id = word("uint256", given["chainId"])
    contract = word("address", given["verifyingContract"])
    policy, job, started = given["policy"], given["job"], given["startedJob"]
    owner, requester = word("address", policy["owner"]), word("address", job["requester"])
    uid = keccak256(
        number(128) + chain_id + owner + word("bytes32", policy["salt"])
        + number(len(b"LICEN/uid/v2")) + b"LICEN/uid/v2".ljust(32, b"\x00")
    )
    job_id = keccak256(chain_id + contract + uid + requester + word("uint64", given["counter"]))
    manifest_hash = keccak256(abi_encode("ResultManifest", given["resultManifest"]))
    job_hash, started_hash = keccak256(abi_encode("Job", job)), keccak256(abi_encode("Job", started))
    hashes = {
        struct: struct_hash(struct, given[name])
        for name, struct in INPUTS.items()
        if name in ("policy", "quote", "approval", "verdict", "silence", "resultManifest", "failureReport")
    }
    hashes["RegisterDataset"] = register_hash(policy, given["registerNonce"], given["registerDeadline"])
    domain = domain_separator(chain_id, contract)
    expected = {
        "datasetUid": uid,
        "policyHash": keccak256(abi_encode("Policy", policy)),
        "jobId": job_id,
        "jobHash": job_hash,
        "jobCommitment": commitment(job_hash),
        "startedJobHash": started_hash,
        "startedJobCommitment": commitment(started_hash),
        "manifestHash": manifest_hash,
        "resultCommitment": commitment(keccak256(commitment(started_hash) + manifest_hash)),
        "splitAccount": keccak256(labelled_split(given["split"])),
        "innerSplitAccount": keccak256(labelled_split(given["innerSplit"])),
        "addressAccount": owner,
        "domainSeparator": domain,
        "requesterLeaf": keccak256(keccak256(requester)),
        "custodyId": keccak256(owner + word("bytes32", policy["salt"])),
    }
    texts = {name: "0x" + value.hex() for name, value in expected.items()}
    texts["structHash"] = {name: "0x" + value.hex() for name, value in hashes.items()}
    texts["digest"] = {
        name: "0x" + keccak256(b"\x19\x01" + domain + value).hex() for name, value in hashes.items()
    }
    inputs = (
        "about", "chainId", "verifyingContract", "counter", "registerNonce", "registerDeadline", *INPUTS
    )
    out = {name: given[name] for name in inputs}
    out["money"] = completed(
        given["money"], ("done", "escrow", "royalty", "protocolFee", "computeFee", "refund"), settle
    )
    out["vesting"] = completed(given["vesting"], ("vested", "part"), vest)
    out["encoded"] = {name: "0x" + abi_encode(struct, given[name]).hex() for name, struct in INPUTS.items()}
    out["expected"] = texts
    return out


def links(given: dict) -> list[str]:
    """Inputs that name a value which is computed from others."""
    expected = given["expected"]
    pairs = [
        ("policy.datasetUid", given["policy"]["datasetUid"], expected["datasetUid"]),
        ("policy.payee", given["policy"]["payee"], expected["splitAccount"]),
        ("split.accounts[1]", given["split"]["accounts"][1], expected["innerSplitAccount"]),
        ("job.jobId", given["job"]["jobId"], expected["jobId"]),
        ("job.policyHash", given["job"]["policyHash"], expected["policyHash"]),
        ("quote.jobId", given["quote"]["jobId"], expected["jobId"]),
        ("quote.policyHash", given["quote"]["policyHash"], expected["policyHash"]),
        ("resultManifest.jobId", given["resultManifest"]["jobId"], expected["jobId"]),
    ]
    return [name for name, is_, should in pairs if is_ != should]


def differences(given, computed, path: str = "") -> list[str]:
    if isinstance(given, dict) and isinstance(computed, dict):
        out = [f"{path}.{name} stands on one side only" for name in sorted(set(given) ^ set(computed))]
        for name in given.keys() & computed.keys():
            out += differences(given[name], computed[name], f"{path}.{name}")
        return out
    if isinstance(given, list) and isinstance(computed, list) and len(given) == len(computed):
        return [d for i, (a, b) in enumerate(zip(given, computed)) for d in differences(a, b, f"{path}[{i}]")]
    return [] if given == computed else [f"{path}: the file has {given}, computed was {computed}"]


def main() -> int:
    # Known answers, so that a wrong Keccak is not found out by all vectors at once.
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak256(b"abc").hex() == "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("contracts.json")
    given = json.loads(path.read_text())
    found = differences(given, compute(given)) + [f".{name} is not what is computed" for name in links(given)]
    for line in found:
        print(line, file=sys.stderr)
    if not found:
        print(f"{path.name}: every hash, encoding and amount is as computed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
