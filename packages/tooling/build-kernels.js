// Compiles the compressors' hot loops to WebAssembly and writes the module into the repository as text, so that a codec
// remains one file when it travels. Does nothing while the source is the one that the module was made from.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("../../codecs/compressors/", import.meta.url));
const MODULE = `${FOLDER}kernels-module.ts`;
const OPTIONS = ["--runtime", "stub", "--noAssert", "-O3", "--enable", "simd"];
const MEMORY = ["--initialMemory", "4", "--maximumMemory", "4"];

const sources = Object.fromEntries(
  readdirSync(`${FOLDER}assembly`)
    .sort()
    .map((name) => [name, readFileSync(`${FOLDER}assembly/${name}`, "utf8")]),
);
const hash = createHash("sha256").update(JSON.stringify(sources)).digest("hex");

/** @returns the text of the module's file */
export async function compileKernels() {
  const { default: asc } = await import("assemblyscript/asc");
  let binary;
  const { error, stderr } = await asc.main(
    ["kernels.ts", "-o", "kernels.wasm", ...OPTIONS, ...MEMORY],
    {
      readFile: (name) => sources[name] ?? null,
      writeFile: (_name, content) => (binary = content),
      listFiles: () => [],
    },
  );
  if (error !== null) throw new Error(`${error.message}\n${stderr.toString()}`);
  const text = Buffer.from(binary).toString("base64");
  return [
    "// Compiled from assembly/ by `npm run build`. Do not edit.",
    `// Sources: sha256 ${hash}`,
    "",
    "/** A WebAssembly module in base64. */",
    `export const KERNELS_MODULE =\n  "${text}";`,
    "",
  ].join("\n");
}

function isCurrent() {
  try {
    return readFileSync(MODULE, "utf8").includes(hash);
  } catch {
    return false;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url) && !isCurrent())
  writeFileSync(MODULE, await compileKernels());
