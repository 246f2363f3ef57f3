import { toErrorRecord, type Logger } from "@psgd/core";
import { datasetToBytes, loadDataset, type Dataset, type DatasetName } from "@psgd/data";
import { diskStore } from "@psgd/runtime";
import { dataDirectory } from "./compose.js";

/**
 * Data sets that lie in this machine's own data directory need not travel: they are known by the hash of their packed
 * form, like any package. Nothing is downloaded for it, and only what can be read is tried, once.
 */
export function localPackages(log: Logger): (sha256: string) => Promise<Uint8Array | undefined> {
  let held: Promise<ReadonlyMap<string, DatasetName>> | undefined;
  return async (sha256) => {
    held ??= identify(log);
    const name = (await held).get(sha256);
    if (name === undefined) return undefined;
    const dataset = await read(name, log);
    return dataset.sha256 === sha256 ? datasetToBytes(dataset) : undefined;
  };
}

function read(name: DatasetName, log: Logger): Promise<Dataset> {
  const directory = dataDirectory();
  return loadDataset(name, { store: diskStore(directory), directory, log });
}

/** Those that are files; what is made from a seed is made where the job is. */
const FILE_DATASETS: readonly DatasetName[] = ["mnist"];

/** Keeps the hashes only: the data would fill the memory of an idle daemon. */
async function identify(log: Logger): Promise<ReadonlyMap<string, DatasetName>> {
  const held = new Map<string, DatasetName>();
  for (const name of FILE_DATASETS) {
    try {
      held.set((await read(name, log)).sha256, name);
    } catch (error) {
      log.info(
        `${name} is not in ${dataDirectory()} (${toErrorRecord(error).code ?? "unreadable"}); it is asked for when a job needs it`,
      );
    }
  }
  return held;
}
