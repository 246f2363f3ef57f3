import { access, constants, mkdir } from "node:fs/promises";
import { PROBE_BATCH, probeEngines } from "@psgd/compute";
import { SILENT, toErrorRecord } from "@psgd/core";
import { DATASETS, loadDataset } from "@psgd/data";
import { diskStore } from "@psgd/runtime";
import { VERSION, cacheDirectory, connectCluster, dataDirectory } from "../compose.js";
import { EXIT_CODES, exitCodeOf } from "../exit-codes.js";
import { findWorkers } from "../job-session.js";
import { table } from "../table.js";

/** One thing that jobs may need, and whether it is here. */
interface Finding {
  readonly what: string;
  readonly isHere: boolean;
  /** What was found, or why not and what to do. */
  readonly detail: string;
}

/** Says what is available on this machine, and why the rest is not. @returns the exit code */
export async function runDoctor(args: Readonly<Record<string, unknown>>): Promise<number> {
  const engines = await examineEngines();
  const findings: readonly Finding[] = [
    { what: "psgd", isHere: true, detail: `${VERSION}, Node.js ${process.version}` },
    ...engines,
    ...(await Promise.all(Object.keys(DATASETS).map(examineDataset))),
    await examine("cache", examineCache),
    await examine("cluster", () => examineCluster(args["nats"] as string)),
  ];
  if (args["json"] === true) process.stdout.write(`${JSON.stringify(findings)}\n`);
  else {
    const rows = findings.map(({ what, isHere, detail }) => [what, isHere ? "yes" : "no", detail]);
    process.stdout.write(table(["WHAT", "HERE", "DETAIL"], rows));
  }
  // A machine can do without a server or a data set, but not without any engine.
  return engines.some(({ isHere }) => isHere) ? EXIT_CODES.done : exitCodeOf("BACKEND_UNAVAILABLE");
}

async function examine(what: string, look: () => Promise<string>): Promise<Finding> {
  try {
    return { what, isHere: true, detail: await look() };
  } catch (error) {
    return { what, isHere: false, detail: toErrorRecord(error).message };
  }
}

async function examineEngines(): Promise<readonly Finding[]> {
  const probes = await probeEngines();
  return probes.map((probe): Finding => {
    const detail = probe.isAvailable
      ? `${probe.stepMs.toFixed(2)} ms for a step of mlp, batch ${PROBE_BATCH}`
      : probe.reason;
    return { what: `engine ${probe.name}`, isHere: probe.isAvailable, detail };
  });
}

function examineDataset(name: string): Promise<Finding> {
  const directory = dataDirectory();
  return examine(`data set ${name}`, async () => {
    const dataset = await loadDataset(name, {
      store: diskStore(directory),
      directory,
      log: SILENT,
    });
    const { train, test, synthetic } = dataset;
    const origin = synthetic ? "made from a seed (synthetic)" : `in ${directory}`;
    return `${train.count} + ${test.count} samples, ${origin}`;
  });
}

async function examineCache(): Promise<string> {
  const directory = cacheDirectory();
  await mkdir(directory, { recursive: true });
  await access(directory, constants.W_OK);
  return directory;
}

async function examineCluster(natsUrl: string): Promise<string> {
  const cluster = await connectCluster(natsUrl, "psgd doctor");
  try {
    const workers = await findWorkers(cluster, (found) => found.length > 0);
    const slots = workers.reduce((sum, { freeSlots }) => sum + freeSlots, 0);
    return `${workers.length} workers at ${natsUrl}, ${slots} free slots`;
  } finally {
    await cluster.transport.close();
  }
}
