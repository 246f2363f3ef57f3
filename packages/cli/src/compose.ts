import { randomBytes } from "node:crypto";
import { homedir } from "node:os";
import { join } from "node:path";
import {
  ENGINES,
  autoEngine,
  joinTensors,
  layersModelFiles,
  onnxModelFile,
  safetensorsFile,
  type EngineName,
} from "@psgd/compute";
import { PsgdError, type Logger, type Transport, type WorkerDirectory } from "@psgd/core";
import { loadDataset, type Dataset, type Download, type DownloadProgress } from "@psgd/data";
import {
  SharedValues,
  diskStore,
  lineLogger,
  moduleLoader,
  systemClock,
  type NodeWorld,
} from "@psgd/runtime";
import { connectNats } from "@psgd/transport";

/** Version of this software, as workers and results name it. */
export const VERSION = "0.1.0";

export const DEFAULT_NATS_URL = "nats://localhost:4222";

export const DEFAULT_ENGINE = "onnx" satisfies EngineName;

/** Each node takes the fastest engine of its machine. */
export const AUTO_ENGINE = "auto";

/** What a job may ask for. */
export const ENGINE_CHOICES = [...(Object.keys(ENGINES) as EngineName[]), AUTO_ENGINE] as const;

export type EngineChoice = (typeof ENGINE_CHOICES)[number];

/** A way into a cluster. */
export interface Cluster {
  readonly transport: Transport;
  readonly directory: WorkerDirectory;
}

/** @throws {PsgdError} CLUSTER_UNREACHABLE */
export async function connectCluster(natsUrl: string, name: string): Promise<Cluster> {
  return connectNats({ servers: natsUrl.split(","), name });
}

/** The per-user directory for what can be made again: data sets, caches, unfetched results of local workers. */
export function cacheDirectory(): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "psgd");
}

export function dataDirectory(): string {
  return process.env["PSGD_DATA_DIR"] ?? join(cacheDirectory(), "data");
}

/** Where codec bundles and models are put to be loaded. */
export function bundleDirectory(): string {
  return join(cacheDirectory(), "bundles");
}

/** Reads, downloads or makes a data set. */
export function openDataset(
  name: string,
  options: { log: Logger; onProgress?: (progress: DownloadProgress) => void },
): Promise<Dataset> {
  const directory = dataDirectory();
  return loadDataset(name, { store: diskStore(directory), directory, download, ...options });
}

/** What runs the plans of a worker's callers. */
export const planEngine = ENGINES[DEFAULT_ENGINE];

/** Of the nodes in this process or thread. */
const shared = new SharedValues();

/** The world of a node in this process or thread. */
export function nodeWorld(options: { transport: Transport; workDirectory: string }): NodeWorld {
  return {
    clock: systemClock,
    transport: options.transport,
    store: diskStore(options.workDirectory),
    engine: (name, log) => {
      if (name === AUTO_ENGINE) return autoEngine((line) => log.info(line));
      if (Object.hasOwn(ENGINES, name)) return ENGINES[name as EngineName]();
      throw new PsgdError(
        "BACKEND_UNAVAILABLE",
        `engine: expected one of ${ENGINE_CHOICES.join(", ")}, got ${JSON.stringify(name)}`,
      );
    },
    shared,
    loadModule: moduleLoader(join(options.workDirectory, "bundles")),
    modelFiles: ({ topology, layout, train, predict }, weights, state) => {
      const whole = joinTensors(
        { layout, weights },
        { layout: train.state.layout, weights: state },
      );
      return {
        ...layersModelFiles(topology as Readonly<Record<string, unknown>>, whole),
        "model.onnx": onnxModelFile(predict, { parameters: weights, state }),
        "model.safetensors": safetensorsFile(whole, { format: "psgd", version: VERSION }),
      };
    },
    logger: (write, nodeId) =>
      lineLogger(`Training ${nodeId < 0 ? "ps" : `node-${nodeId}`}`, systemClock, write),
    incarnationSeed: randomBytes(16).toString("hex"),
  };
}

const download: Download = async (url, onProgress) => {
  const response = await fetch(url, { signal: AbortSignal.timeout(600_000) });
  if (!response.ok || response.body === null) throw new Error(`${url} answered ${response.status}`);
  const length = response.headers.get("content-length");
  const totalBytes = length === null ? undefined : Number(length);
  const chunks: Uint8Array[] = [];
  let receivedBytes = 0;
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    receivedBytes += chunk.length;
    onProgress(receivedBytes, totalBytes);
  }
  return Buffer.concat(chunks);
};
