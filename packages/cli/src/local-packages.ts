import { toErrorRecord, type Logger } from "@psgd/core";
import { DATASETS, datasetToBytes, loadDataset, type DatasetName } from "@psgd/data";
import { diskStore } from "@psgd/runtime";
import { dataDirectory } from "./compose.js";

/**
 * Data sets that lie in this machine's own data directory need not travel: they are known by the hash of their packed
 * form, like any package. Nothing is downloaded for it, and only what can be read is tried, once.
 */
export function localPackages(log: Logger): (sha256: string) => Promise<Uint8Array | undefined> {
  let held: Promise<ReadonlyMap<string, Uint8Array>> | undefined;
  return async (sha256) => {
    held ??= readHeld(log);
    return (await held).get(sha256);
  };
}

/** Those that are files; what is made from a seed is made where the job is. */
const FILE_DATASETS: readonly DatasetName[] = ["mnist"];

async function readHeld(log: Logger): Promise<ReadonlyMap<string, Uint8Array>> {
  const directory = dataDirectory();
  const held = new Map<string, Uint8Array>();
  for (const name of FILE_DATASETS.filter((known) => known in DATASETS)) {
    try {
      const dataset = await loadDataset(name, { store: diskStore(directory), directory, log });
      held.set(dataset.sha256, datasetToBytes(dataset));
    } catch (error) {
      log.info(
        `${name} is not in ${directory} (${toErrorRecord(error).code ?? "unreadable"}); it is asked for when a job needs it`,
      );
    }
  }
  return held;
}
