// The official SDK's side of bench_tree: the root of the same bytes, in GB per processor second.
// usage: node bench_tree_sdk.mjs MIB      (resolves @0gfoundation/0g-ts-sdk from the current folder)
import { createRequire } from "node:module";
import { join } from "node:path";

const { MemData } = createRequire(join(process.cwd(), "package.json"))("@0gfoundation/0g-ts-sdk");
const mib = Number(process.argv[2] ?? 8);
const data = new Uint8Array(mib << 20);
for (let i = 0; i < data.length; i++) data[i] = (i * 31 + 7) & 255;

const seconds = [];
let root;
for (let run = 0; run < 3; run++) {
  const start = process.cpuUsage();
  const [tree, error] = await new MemData(data).merkleTree();
  if (error) throw error;
  const used = process.cpuUsage(start);
  seconds.push((used.user + used.system) / 1e6);
  root = tree.rootHash();
}
seconds.sort((a, b) => a - b);
const rate = Number((data.length / seconds[1] / 1e9).toFixed(4));
console.log(JSON.stringify({ bench: "tree", kernel: "0g-ts-sdk", mib, runs: 3, gbPerCpuSecond: rate, root }));
