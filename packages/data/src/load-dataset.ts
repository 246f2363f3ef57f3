import { PsgdError } from "@psgd/core";
import type { Dataset } from "./dataset.js";
import { DATASETS, type DatasetName } from "./sources/registry.js";
import type { DatasetSource, LoadOptions } from "./sources/source.js";

/**
 * Loads a dataset by name: reads it from the data directory, downloads it, or makes it.
 * @throws {PsgdError} SETTINGS_INVALID if there is no dataset of this name; DATA_CORRUPT if a file is not what it should
 *   be; DATA_UNAVAILABLE if it is neither here nor to be downloaded; STORE_FAILED if a file cannot be read
 */
export async function loadDataset(name: string, options: LoadOptions): Promise<Dataset> {
  return requireDataset(name).load(options);
}

/**
 * The dataset source of this name.
 * @throws {PsgdError} SETTINGS_INVALID
 */
export function requireDataset(name: string): DatasetSource {
  if (Object.hasOwn(DATASETS, name)) return DATASETS[name as DatasetName];
  const names = Object.keys(DATASETS);
  throw new PsgdError(
    "SETTINGS_INVALID",
    `Input dataset type cannot find any matches. dataset: expected one of ${names.join(", ")}, got ${JSON.stringify(name)}`,
    { details: { names } },
  );
}
