import type { Logger, Store } from "@psgd/core";
import type { Dataset } from "../dataset.js";

/** How much of a file has arrived; `totalBytes` is unknown if the server does not say. */
export interface DownloadProgress {
  readonly file: string;
  readonly receivedBytes: number;
  readonly totalBytes: number | undefined;
}

/** Fetches a file; rejects if the server does not give it. */
export type Download = (
  url: string,
  onProgress: (receivedBytes: number, totalBytes: number | undefined) => void,
) => Promise<Uint8Array>;

/** Where a dataset may come from. */
export interface LoadOptions {
  /** The data directory; it may be read-only. */
  readonly store: Store;
  /** What people call that directory: errors tell them to put files there. */
  readonly directory: string;
  /** Absent: nothing is fetched. */
  readonly download?: Download;
  /** Of the synthetic datasets; 0 by default, so that jobs with other seeds train on the same data. */
  readonly seed?: number | string;
  readonly onProgress?: (progress: DownloadProgress) => void;
  readonly log: Logger;
}

/** A dataset that can be loaded by name. */
export interface DatasetSource {
  /** One sentence for lists and help. */
  readonly description: string;
  load(options: LoadOptions): Promise<Dataset>;
}
