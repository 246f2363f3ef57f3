/*
 * Finds a nats-server, or fetches one without root and without installing anything.
 *
 *   node packages/tooling/nats-server.js                  prints its path
 *   node packages/tooling/nats-server.js --run [args...]  runs it in the foreground
 */
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { constants, realpathSync } from "node:fs";
import { access, mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);

const CACHE = fileURLToPath(new URL("../../.cache/nats-server", import.meta.url));
const CACHED = join(CACHE, "nats-server");
const FETCH_TIMEOUT_MS = 300_000;

/**
 * The vendor's release, for machines without apt. The sums are those of its SHA256SUMS, as they also stand in the
 * Dockerfiles of the vendor's official image.
 */
const RELEASE = "v2.14.0";
const RELEASE_SHA256 = {
  "linux-x64": "3d8b74dfad39af184c765a6dd120441ed1c648d6672eddf6b304f222661251b8",
  "linux-arm64": "ce7dc5f7d97b70dabc38b13157fed28d7d06227860676143c15c62c5c297996c",
  "darwin-x64": "c307afaa5810dea24bfe5bb0cd895ddc7c47946f359823336ef3be1a41bdddfa",
  "darwin-arm64": "36f28cf166e5ae5dd88d700a609c810b97ffad641e0c51b49cf8fae25fb3fac7",
};

const REMEDY =
  "install nats-server (Debian, Ubuntu: `apt-get install nats-server`; macOS: `brew install nats-server`; " +
  "others: https://github.com/nats-io/nats-server/releases) or name its binary with NATS_SERVER_BIN";

/**
 * The path of a nats-server that runs on this machine: the one NATS_SERVER_BIN names, else the one on PATH, else the
 * project's cached one, which is fetched first if need be: from the distribution's package where there is apt, else
 * from the vendor's release. Nothing needs root and nothing is installed.
 *
 * @param {{ log?: (line: string) => void }} [options] - `log` is told what takes time
 * @returns {Promise<string>}
 * @throws {Error} that says what was tried and what to install
 */
export async function natsServerPath({ log = () => {} } = {}) {
  const named = process.env["NATS_SERVER_BIN"];
  if (named !== undefined && named !== "") {
    const fault = await whyNot(named);
    if (fault === undefined) return named;
    throw new Error(
      `NATS_SERVER_BIN: expected a nats-server binary, got ${JSON.stringify(named)} (${fault}); correct or unset it`,
    );
  }
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const candidate = join(folder, "nats-server");
    if (folder !== "" && (await whyNot(candidate)) === undefined) return candidate;
  }
  if ((await whyNot(CACHED)) === undefined) return CACHED;

  const tried = ["NATS_SERVER_BIN is not set", "none on PATH", `none in ${CACHE}`];
  for (const [source, fetchInto] of [
    ["the distribution's package", fetchFromApt],
    [`the vendor's release ${RELEASE}`, fetchFromVendor],
  ]) {
    log(`nats-server: fetching ${source}`);
    let workFolder;
    try {
      await mkdir(CACHE, { recursive: true });
      workFolder = await mkdtemp(join(CACHE, "fetch-"));
      const binary = await fetchInto(workFolder);
      const fault = await whyNot(binary);
      if (fault !== undefined) throw new Error(`its binary does not run: ${fault}`);
      // In one file system: another process sees no binary or a whole one.
      await rename(binary, CACHED);
      return CACHED;
    } catch (error) {
      tried.push(`${source}: ${reasonOf(error)}`);
    } finally {
      if (workFolder !== undefined) await rm(workFolder, { recursive: true, force: true });
    }
  }
  throw new Error(`nats-server: found none; tried: ${tried.join("; ")}; ${REMEDY}`);
}

/** Why a file cannot serve as nats-server; undefined if it can. */
async function whyNot(path) {
  try {
    await access(path, constants.X_OK);
    const { stdout } = await run(path, ["--version"], { timeout: 10_000 });
    return /^nats-server: v\d/.test(stdout) ? undefined : `it says ${JSON.stringify(stdout)}`;
  } catch (error) {
    return reasonOf(error);
  }
}

/** Downloads the distribution's package and unpacks it; apt checks its signature. */
async function fetchFromApt(workFolder) {
  if (process.platform !== "linux") throw new Error("there is no apt here");
  const packages = join(workFolder, "packages");
  const unpacked = join(workFolder, "unpacked");
  await mkdir(packages);
  // As root, apt would drop to a user of its own, who may not enter this folder.
  const apt = (args) =>
    run("apt-get", ["-o", "APT::Sandbox::User=root", ...args], {
      cwd: packages,
      timeout: FETCH_TIMEOUT_MS,
    });
  const download = (options) => apt([...options, "download", "nats-server"]);
  try {
    await download([]);
  } catch (error) {
    if (error.code === "ENOENT") throw new Error("there is no apt here");
    // A bare machine has no package lists, and only root may fetch the system's.
    const ownState = await aptStateIn(join(workFolder, "apt"));
    // It also fails if one source of many is out of order, which need not be the one that matters.
    const updateFault = await apt([...ownState, "update"]).then(() => "", reasonOf);
    try {
      await download(ownState);
    } catch (again) {
      throw new Error(
        `\`apt-get download nats-server\` failed (${reasonOf(error)}), with new package lists too (${[updateFault, reasonOf(again)].filter(Boolean).join("; ")})`,
      );
    }
  }
  const [file] = (await readdir(packages)).filter((name) => name.endsWith(".deb"));
  if (file === undefined) throw new Error("apt-get downloaded no package");
  await run("dpkg-deb", ["-x", join(packages, file), unpacked]);
  for (const folder of ["usr/sbin", "usr/bin"]) {
    const binary = join(unpacked, folder, "nats-server");
    if ((await whyNot(binary)) === undefined) return binary;
  }
  throw new Error(`${file} holds no nats-server that runs here`);
}

/** Options that keep apt's lists, cache and locks in a folder; sources and keys stay the system's. */
async function aptStateIn(folder) {
  await mkdir(join(folder, "lists", "partial"), { recursive: true });
  await mkdir(join(folder, "cache", "archives", "partial"), { recursive: true });
  return [
    `Dir::State=${folder}`,
    `Dir::State::lists=${join(folder, "lists")}`,
    "Dir::State::status=/var/lib/dpkg/status",
    `Dir::Cache=${join(folder, "cache")}`,
    "Debug::NoLocking=1",
  ].flatMap((option) => ["-o", option]);
}

async function fetchFromVendor(workFolder) {
  const platform = `${process.platform}-${process.arch}`;
  const sha256 = RELEASE_SHA256[platform];
  if (sha256 === undefined) throw new Error(`no checksum is known for ${platform}`);
  const name = `nats-server-${RELEASE}-${platform.replace("x64", "amd64")}`;
  const url = `https://github.com/nats-io/nats-server/releases/download/${RELEASE}/${name}.tar.gz`;
  const response = await fetch(url, { signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  const archive = new Uint8Array(await response.arrayBuffer());
  const got = createHash("sha256").update(archive).digest("hex");
  if (got !== sha256) throw new Error(`${url}: expected SHA-256 ${sha256}, got ${got}`);
  const file = join(workFolder, "nats-server.tar.gz");
  await writeFile(file, archive);
  await run("tar", ["-xzf", file, "-C", workFolder]);
  return join(workFolder, name, "nats-server");
}

function reasonOf(error) {
  const cause = error.cause?.message;
  const text = String(error.stderr || error.message || error).trim();
  return (cause === undefined ? text : `${text}: ${cause}`).split("\n").slice(-3).join(" ");
}

async function main([first, ...args]) {
  const path = await natsServerPath({ log: (line) => process.stderr.write(`${line}\n`) });
  if (first === undefined) {
    process.stdout.write(`${path}\n`);
    return;
  }
  const server = spawn(path, args, { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => server.kill(signal));
  }
  server.on("exit", (code, signal) => {
    process.exitCode = code ?? (signal === "SIGINT" ? 130 : 1);
  });
}

if (
  process.argv[1] !== undefined &&
  realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)
) {
  const args = process.argv.slice(2);
  if (args.length > 0 && args[0] !== "--run") {
    process.stderr.write(
      `nats-server.js: expected nothing or \`--run [args...]\`, got ${args.join(" ")}\n`,
    );
    process.exitCode = 2;
  } else {
    main(args).catch((error) => {
      process.stderr.write(`${error.message}\n`);
      process.exitCode = 1;
    });
  }
}
