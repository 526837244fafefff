#!/usr/bin/env node
// Writes abi/<Contract>.json ({abi, bytecode}) from forge's artifacts, so that Rust and the web app
// build without a Solidity toolchain, and the same of tokens that tests of the command line deploy.
// `--check` writes nothing and fails where a file is not fresh.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { spawnSync } from "node:child_process";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const tokens = "../crates/licen/tests/data";
const CONTRACTS = [
  { name: "DataPolicy", source: "DataPolicy.sol", dir: "abi" },
  { name: "Custody", source: "Custody.sol", dir: "abi" },
  { name: "NamedToken", source: "Tokens.sol", dir: tokens },
  { name: "TetherToken", source: "Tokens.sol", dir: tokens },
];
const check = process.argv.includes("--check");

const forge = join(root, "node_modules", ".bin", "forge");
const build = spawnSync(forge, ["build", "src", "test/utils/Tokens.sol", "--quiet"], {
  cwd: root,
  stdio: ["ignore", "ignore", "inherit"],
});
if (build.status !== 0) process.exit(1);

let stale = 0;
for (const { name, source, dir } of CONTRACTS) {
  const artifact = JSON.parse(readFileSync(join(root, "out", source, `${name}.json`), "utf8"));
  if (/__\$/.test(artifact.bytecode.object)) throw new Error(`${name} needs linking`);
  const text =
    JSON.stringify({ contractName: name, abi: artifact.abi, bytecode: artifact.bytecode.object }, null, 1) + "\n";
  const file = join(root, dir, `${name}.json`);
  if (check) {
    let committed = "";
    try {
      committed = readFileSync(file, "utf8");
    } catch {
      // A missing file is a stale file.
    }
    if (committed !== text) {
      console.error(`${dir}/${name}.json is not what its source compiles to; run: node bin/abi.mjs`);
      stale = 1;
    }
  } else {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
}
process.exit(stale);
