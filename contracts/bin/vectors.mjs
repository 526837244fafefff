#!/usr/bin/env node
// Writes ../vectors/contracts.json from test/Vectors.t.sol: the inputs, read back out of their ABI
// encodings with the field names of src/Types.sol, and what they hash to. Vectors.t.sol then checks the
// file in every test run, and ../vectors/check_contracts.py computes all of it a second time.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { spawnSync } from "node:child_process";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const target = join(root, "..", "vectors", "contracts.json");
if (!existsSync(target)) writeFileSync(target, "{}\n");

const run = spawnSync(
  join(root, "node_modules", ".bin", "forge"),
  ["test", "--match-contract", "VectorsTest", "-vv"],
  { cwd: root, encoding: "utf8", env: { ...process.env, LICEN_WRITE_VECTORS: "true" }, maxBuffer: 1 << 28 },
);
if (run.status !== 0) {
  process.stderr.write(run.stdout + run.stderr);
  process.exit(1);
}

// `.path.to[3].value: 0x...`, or a number.
const values = {};
for (const line of run.stdout.split("\n")) {
  const found = line.match(/^\s*\.([A-Za-z.[\]0-9]+): (0x[0-9a-f]*|[0-9]+)(?: \[[0-9.e]+\])?$/);
  if (!found) continue;
  const path = found[1].split(/[.[\]]+/);
  let at = values;
  for (const name of path.slice(0, -1)) at = at[name] ??= {};
  at[path.at(-1)] = found[2];
}

// The fields of each struct, in order, from the one place that defines them.
const types = readFileSync(join(root, "src", "Types.sol"), "utf8");
const fieldsOf = (name) => {
  const body = types.match(new RegExp(`struct ${name} \\{([^}]*)\\}`))[1];
  return [...body.matchAll(/^\s*([A-Za-z0-9]+(?:\[\])?) ([A-Za-z]+);/gm)].map((m) => [m[2], m[1]]);
};
const value = (type, word) => {
  const number = BigInt("0x" + word);
  if (type === "address") return "0x" + word.slice(24);
  if (type === "bytes32") return "0x" + word;
  return number.toString();
};
const decode = (name, hex, base = 0) => {
  const word = (index) => hex.slice((base + index) * 64, (base + index + 1) * 64);
  const out = {};
  let index = 0;
  for (const [field, type] of fieldsOf(name)) {
    if (type.endsWith("[]")) {
      const at = Number(BigInt("0x" + word(index))) / 32;
      const length = Number(BigInt("0x" + word(at)));
      out[field] = Array.from({ length }, (_, i) => value(type.slice(0, -2), word(at + 1 + i)));
      index += 1;
    } else {
      out[field] = value(type, word(index));
      index += 1;
    }
  }
  return out;
};
const struct = (name, key, dynamic) => decode(name, values.encoded[key].slice(2), dynamic ? 1 : 0);

const text = JSON.stringify(
  {
    about:
      "Inputs (numbers are decimal strings, names as in contracts/src/Types.sol), their ABI encodings and what they hash to. Written by contracts/bin/vectors.mjs, checked by contracts/test/Vectors.t.sol and vectors/check_contracts.py.",
    chainId: "31337",
    verifyingContract: "0x5fbdb2315678afecb367f032d93f642f64180aa3",
    counter: "1",
    registerNonce: "4",
    registerDeadline: "1800000500",
    policy: struct("Policy", "policy", true),
    split: struct("Split", "split", true),
    innerSplit: struct("Split", "innerSplit", true),
    request: struct("Request", "request"),
    job: struct("Job", "job"),
    startedJob: struct("Job", "startedJob"),
    verdict: struct("Verdict", "verdict"),
    quote: struct("Quote", "quote"),
    approval: struct("Approval", "approval"),
    resultManifest: struct("ResultManifest", "resultManifest"),
    failureReport: struct("FailureReport", "failureReport"),
    silence: struct("Silence", "silence"),
    money: Object.values(values.money),
    vesting: Object.values(values.vesting),
    encoded: values.encoded,
    expected: values.expected,
  },
  null,
  2,
);
writeFileSync(target, text + "\n");
