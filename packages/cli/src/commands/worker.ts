import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, hostname } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Argv } from "yargs";
import { availableEngines } from "@psgd/compute";
import { PsgdError, type Logger } from "@psgd/core";
import {
  WorkerDaemon,
  diskStore,
  lineLogger,
  logFile,
  processNodeHost,
  systemClock,
  systemRandom,
} from "@psgd/runtime";
import {
  DEFAULT_NATS_URL,
  VERSION,
  cacheDirectory,
  connectCluster,
  dataDirectory,
} from "../compose.js";
import type { NodeProcessConfig } from "../node-process.js";
import { withUnderscores } from "../job-options.js";
import { machineHosts } from "../machine-hosts.js";
import { planProcessStarter } from "../start-plan-process.js";
import { localPackages } from "../local-packages.js";

const NODE_PROCESS = fileURLToPath(new URL("../node-process.js", import.meta.url));

/** Adds the worker's options; all have defaults. */
export function withWorkerOptions(parser: Argv): Argv {
  const slots = Math.max(2, availableParallelism());
  return parser
    .option("nats", {
      type: "string",
      requiresArg: true,
      default: process.env["NATS_URL"] ?? DEFAULT_NATS_URL,
      describe: "URL of the nats-server, several with commas (also NATS_URL)",
    })
    .option("name", {
      type: "string",
      requiresArg: true,
      defaultDescription: "the host's name",
      describe: "name for worker.json and `psgd nodes`",
    })
    .option("slots", {
      type: "number",
      requiresArg: true,
      default: slots,
      defaultDescription: "number of processor cores, at least 2",
      describe: "number of nodes it runs at the same time",
    })
    .option("label", {
      type: "string",
      array: true,
      default: [],
      defaultDescription: "none",
      describe: "KEY=VALUE, shown by `psgd nodes`; may be given more than once",
    })
    .option(
      "data-dir",
      withUnderscores("data-dir", {
        type: "string",
        defaultDescription: "a cache of the user",
        describe: "directory of the data sets (also PSGD_DATA_DIR)",
      }),
    )
    .option(
      "work-dir",
      withUnderscores("work-dir", {
        type: "string",
        defaultDescription: "a cache of the user and this name",
        describe: "directory for packages, and for results until they are fetched",
      }),
    )
    .option(
      "log-dir",
      withUnderscores("log-dir", {
        type: "string",
        default: "tmp_log",
        describe: "directory of the log file",
      }),
    )
    .option("grace", {
      type: "number",
      requiresArg: true,
      default: 25,
      describe: "seconds that running nodes get to finish after SIGTERM or Ctrl-C",
    })
    .example([
      ["worker", "a worker of the nats-server on this machine"],
      ["worker --nats nats://192.168.1.1:4222", "a worker of the server on another machine"],
      ["worker --name alpha --slots 4 --label room=12", "with a name, four slots and a label"],
    ]);
}

/** Runs a worker daemon until it is told to stop. @returns the exit code */
export async function runWorker(args: Readonly<Record<string, unknown>>): Promise<number> {
  const slots = args["slots"] as number;
  if (!Number.isSafeInteger(slots) || slots < 1)
    throw new PsgdError(
      "SETTINGS_INVALID",
      `\`--slots\`: expected a whole number from 1, got ${slots}`,
    );
  const labels = labelsOf(args["label"] as readonly string[]);
  if (args["data-dir"] !== undefined) process.env["PSGD_DATA_DIR"] = args["data-dir"] as string;
  using home = openHome(args["name"] as string | undefined, args["work-dir"] as string | undefined);
  const { name, directory: workDirectory } = home;
  const file = logFile(args["log-dir"] as string, `Worker ${name}.log`);
  const log: Logger = lineLogger("Worker", systemClock, (line) => {
    process.stdout.write(`${line}\n`);
    file.write(line);
  });
  // First of all a line: a log that cannot be written ends the worker now, not while it runs a job.
  log.info(`Worker version: ${VERSION}.`);
  const natsUrl = args["nats"] as string;
  const searching = availableEngines();
  const cluster = await connectCluster(natsUrl, `worker ${name}`);
  const random = systemRandom();
  const workerId = `${name.replaceAll(/[^\w-]/g, "-")}-${random.uint32().toString(36)}`;
  const engines = await searching;
  const config: NodeProcessConfig = { natsUrl, workDirectory };
  const daemon = await WorkerDaemon.start({
    info: {
      workerId,
      name,
      version: VERSION,
      hosts: machineHosts(),
      engines,
      labels,
      slots,
    },
    ...cluster,
    store: diskStore(workDirectory),
    host: processNodeHost({ entry: NODE_PROCESS, config }),
    clock: systemClock,
    random,
    log,
    provide: localPackages(log),
    startPlans: planProcessStarter(natsUrl),
  });
  // From here on: whoever reads that it has started may stop it.
  const termination = terminationSignal();
  log.info(`Worker started: ${name}, ${slots} slots, ${natsUrl}`);
  log.info(`Engines: ${engines.join(", ")}; \`psgd doctor\` says why others are not here.`);
  log.info(`Data: ${dataDirectory()}; packages and results: ${workDirectory}`);
  const signal = await termination;
  log.info(`Worker shutdown by ${signal}.`);
  // A second signal does not wait.
  const again = terminationSignal().then(() => 0);
  const stopped = daemon
    .stop(1000 * (args["grace"] as number))
    .then(() => cluster.transport.close());
  await Promise.race([stopped, again]);
  await file.close();
  return 0;
}

function terminationSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
  });
}

function labelsOf(entries: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    entries.map((entry) => {
      const at = entry.indexOf("=");
      if (at < 1)
        throw new PsgdError(
          "SETTINGS_INVALID",
          `\`--label\`: expected KEY=VALUE, got ${JSON.stringify(entry)}`,
        );
      return [entry.slice(0, at), entry.slice(at + 1)];
    }),
  );
}

interface WorkerHome extends Disposable {
  readonly name: string;
  readonly directory: string;
}

/** Two workers must not share a directory: the second on a host gets a name with a number. */
function openHome(wantedName: string | undefined, wantedDirectory: string | undefined): WorkerHome {
  const base = wantedName ?? hostname();
  for (let number = 1; ; number++) {
    const name = number === 1 ? base : `${base}-${number}`;
    const directory =
      wantedDirectory ?? join(cacheDirectory(), "workers", name.replaceAll(/[^\w.-]/g, "-"));
    const lock = join(directory, "lock");
    const owner = takeLock(directory, lock);
    if (owner === undefined)
      return { name, directory, [Symbol.dispose]: () => rmSync(lock, { force: true }) };
    if (wantedName !== undefined || wantedDirectory !== undefined) {
      throw new PsgdError(
        "SETTINGS_INVALID",
        `${directory}: expected a directory no other worker uses, got one in use by process ${owner}; give another \`--name\` or \`--work-dir\``,
      );
    }
  }
}

/** @returns the process that holds the lock, or `undefined` if we do now */
function takeLock(directory: string, lock: string): number | undefined {
  try {
    mkdirSync(directory, { recursive: true });
    writeFileSync(lock, String(process.pid), { flag: "wx" });
    return undefined;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") {
      throw new PsgdError(
        "STORE_FAILED",
        `${directory}: expected a directory that can be written, got ${(cause as Error).message}; give another \`--work-dir\``,
        { cause },
      );
    }
  }
  const owner = Number(readFileSync(lock, "utf8"));
  if (isAlive(owner)) return owner;
  rmSync(lock, { force: true });
  return takeLock(directory, lock);
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid < 1) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
