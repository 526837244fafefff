#!/usr/bin/env node
// Writes abi/<Contract>.json ({abi, bytecode}) from forge's artifacts, so that Rust and the web app
// build without a Solidity toolchain. `--check` writes nothing and fails where a file is not fresh.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { spawnSync } from "node:child_process";

const CONTRACTS = ["DataPolicy", "Custody"];
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const check = process.argv.includes("--check");

const forge = join(root, "node_modules", ".bin", "forge");
const build = spawnSync(forge, ["build", "src", "--quiet"], {
  cwd: root,
  stdio: ["ignore", "ignore", "inherit"],
});
if (build.status !== 0) process.exit(1);

let stale = 0;
for (const name of CONTRACTS) {
  const artifact = JSON.parse(readFileSync(join(root, "out", `${name}.sol`, `${name}.json`), "utf8"));
  if (/__\$/.test(artifact.bytecode.object)) throw new Error(`${name} needs linking`);
  const text =
    JSON.stringify({ contractName: name, abi: artifact.abi, bytecode: artifact.bytecode.object }, null, 1) + "\n";
  const file = join(root, "abi", `${name}.json`);
  if (check) {
    let committed = "";
    try {
      committed = readFileSync(file, "utf8");
    } catch {
      // A missing file is a stale file.
    }
    if (committed !== text) {
      console.error(`abi/${name}.json is not what src/ compiles to; run: node bin/abi.mjs`);
      stale = 1;
    }
  } else {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
}
process.exit(stale);
