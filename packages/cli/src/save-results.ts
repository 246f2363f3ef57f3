import { extname } from "node:path";
import { errorCode, nodeName, type Logger, type NodeId, type Store } from "@psgd/core";
import type { NodeResults } from "@psgd/runtime";

/** Where the results of a job were put. */
export interface SavedResults {
  /** By name, relative to the output directory. */
  readonly files: readonly string[];
  readonly manifest: string;
  readonly model: string | undefined;
}

const encoder = new TextEncoder();

/**
 * Puts the results of a job where the user works: traces beside him, logs in `tmp_log/`, model and manifest in
 * `job-<id>/`. A file that is there already is another job's and stays; ours gets the job's id into its name then.
 *
 * @param store - the output directory
 * @throws {PsgdError} STORE_FAILED
 */
export async function saveResults(options: {
  readonly jobId: string;
  readonly results: readonly NodeResults[];
  readonly store: Store;
  readonly log: Logger;
  readonly version: string;
}): Promise<SavedResults> {
  const { jobId, results, store, log } = options;
  const directory = `job-${jobId}`;
  const files: string[] = [];
  const models = new Map<string, KeptModel>();
  let model: string | undefined;
  for (const { record, files: contents } of results) {
    const hasModel = [...contents].some(([path]) => path.startsWith("model/"));
    const hash = hasModel ? record.summary?.modelSha256 : undefined;
    const modelHome = modelDirectory(directory, record.nodeId, hash, models);
    if (hash !== undefined && modelHome !== undefined) {
      const weights = contents.get("model/weights.bin");
      models.set(hash, { home: modelHome, nodeId: record.nodeId, weights });
    }
    for (const [path, content] of contents) {
      const isModel = path.startsWith("model/");
      if (isModel && modelHome === undefined) continue;
      const key = isModel
        ? `${modelHome!}/${path.slice("model/".length)}`
        : path.endsWith(".log")
          ? `tmp_log/${path}`
          : path;
      const saved = await saveOnce(store, key, content, jobId);
      files.push(saved);
      if (isModel) model ??= modelHome;
      else
        log.info(
          `Restoring data (${saved.startsWith("tmp_log/") ? "./" : ""}${saved}) from ${record.nodeId}.`,
        );
    }
  }
  if (models.size > 1) log.warn(differenceText([...models.values()]));
  const manifest = await saveOnce(
    store,
    `${directory}/manifest.json`,
    encoder.encode(`${JSON.stringify(manifestOf(options, files), null, 2)}\n`),
    jobId,
  );
  return { files, manifest, model };
}

interface KeptModel {
  readonly home: string;
  readonly nodeId: NodeId;
  /** As in TensorFlow.js' format: 32-bit floats, tensor after tensor. */
  readonly weights: Uint8Array | undefined;
}

/** Nodes that ended on the same weights share one model; another model says whose it is. */
function modelDirectory(
  directory: string,
  nodeId: NodeId,
  hash: string | undefined,
  models: ReadonlyMap<string, KeptModel>,
): string | undefined {
  if (hash === undefined || models.has(hash)) return undefined;
  return models.size === 0
    ? `${directory}/model`
    : `${directory}/model-${nodeName(nodeId).replace(" ", "-")}`;
}

/** Some codecs let the nodes end on different models: who takes one of them must know that it is one of many. */
function differenceText([first, ...others]: readonly KeptModel[]): string {
  const farthest = Math.max(...others.map((other) => distance(first!.weights, other.weights)));
  const percent = Number.isFinite(farthest)
    ? `, up to ${Number((100 * farthest).toPrecision(2))} % of its norm from it`
    : "";
  const homes = others.map(({ home }) => home).join(", ");
  return `The nodes have ended on different models: ${first!.home} is that of ${nodeName(first!.nodeId)}; the others${percent}: ${homes}.`;
}

/** ‖b − a‖ / ‖a‖; NaN where there is nothing to compare. */
function distance(a: Uint8Array | undefined, b: Uint8Array | undefined): number {
  if (a === undefined || b?.length !== a.length || a.length % 4 !== 0) return NaN;
  const [before, after] = [a, b].map((bytes) => new Float32Array(bytes.slice().buffer));
  let norm = 0;
  let square = 0;
  for (const [i, value] of before!.entries()) {
    norm += value ** 2;
    square += (after![i]! - value) ** 2;
  }
  return Math.sqrt(square / norm);
}

async function saveOnce(
  store: Store,
  key: string,
  content: Uint8Array,
  jobId: string,
): Promise<string> {
  const ending = extname(key);
  const stem = key.slice(0, key.length - ending.length);
  for (let copy = 0; ; copy++) {
    const suffix = ["", `.${jobId}`][copy] ?? `.${jobId}-${copy}`;
    const name = stem + suffix + ending;
    try {
      await store.write(name, content, { exclusive: true });
      return name;
    } catch (error) {
      if (errorCode(error) !== "STORE_EXISTS") throw error;
    }
    // Looked at after the attempt: the same results may be on their way here twice at once.
    const there = await store.read(name);
    if (there !== undefined && equal(there, content)) return name;
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function manifestOf(
  { jobId, results, version }: { jobId: string; results: readonly NodeResults[]; version: string },
  files: readonly string[],
): unknown {
  const [first] = results;
  return {
    jobId,
    version,
    spec: first?.record.spec,
    packages: first?.record.packages,
    submittedAt: first?.record.submittedAt,
    nodes: results.map(({ record }) => ({
      nodeId: record.nodeId,
      state: record.state,
      finishedAt: record.finishedAt,
      summary: record.summary,
      error:
        record.error === undefined
          ? undefined
          : { code: record.error.code, message: record.error.message },
    })),
    files,
  };
}
