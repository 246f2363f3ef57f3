import { stringify } from "csv-stringify/sync";
import type { Store } from "@psgd/core";

/** One step of a node, as the training trace (`T-….csv`) keeps it. */
export interface TrainingRow {
  /** Seconds since the node started. */
  readonly timeSec: number;
  readonly epoch: number;
  /** Steps of this epoch so far, this one included. */
  readonly batch: number;
  readonly batchesPerEpoch: number;
  /** Steps so far, over all epochs. */
  readonly total: number;
  readonly loss: number;
  readonly accuracy: number | undefined;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/** One evaluation on the test set (`E-….csv`). */
export interface EvaluationRow {
  readonly timeSec: number;
  readonly epoch: number;
  readonly total: number;
  readonly loss: number;
  readonly accuracy: number | undefined;
}

const TRAINING_COLUMNS = [
  "Time",
  "Epochs",
  "Batches",
  "in",
  "Total",
  "Loss",
  "accuracy",
  "BytesSent",
  "BytesReceived",
];
const EVALUATION_COLUMNS = ["Time", "Epochs", "Total", "Loss", "accuracy"];

/** Collects the rows of one node and appends them to its two CSV files, so that a node that dies leaves its trace. */
export class Trace {
  readonly #store: Store;
  readonly #trainingKey: string;
  readonly #evaluationKey: string;
  #training: (string | number)[][] = [TRAINING_COLUMNS];
  #evaluation: (string | number)[][] = [EVALUATION_COLUMNS];

  /** @param directory - key prefix of the files; @param title - what follows `T-` and `E-` in their names */
  constructor(store: Store, directory: string, title: string) {
    this.#store = store;
    this.#trainingKey = `${directory}/T-${title}.csv`;
    this.#evaluationKey = `${directory}/E-${title}.csv`;
  }

  step(row: TrainingRow): void {
    const {
      timeSec,
      epoch,
      batch,
      batchesPerEpoch,
      total,
      loss,
      accuracy,
      bytesSent,
      bytesReceived,
    } = row;
    this.#training.push([
      timeSec.toFixed(4),
      epoch,
      batch,
      batchesPerEpoch,
      total,
      loss,
      accuracy ?? "",
      bytesSent,
      bytesReceived,
    ]);
  }

  evaluation(row: EvaluationRow): void {
    this.#evaluation.push([
      row.timeSec.toFixed(4),
      row.epoch,
      row.total,
      row.loss,
      row.accuracy ?? "",
    ]);
  }

  /** Writes what was collected since the last time. */
  async flush(): Promise<void> {
    const training = this.#training;
    const evaluation = this.#evaluation;
    this.#training = [];
    this.#evaluation = [];
    await this.#append(this.#trainingKey, training);
    await this.#append(this.#evaluationKey, evaluation);
  }

  async #append(key: string, rows: (string | number)[][]): Promise<void> {
    if (rows.length > 0) await this.#store.append(key, new TextEncoder().encode(stringify(rows)));
  }
}
