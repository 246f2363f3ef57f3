import type { Clock, Engine, ErrorRecord, Logger, NodeId, Store, Transport } from "@psgd/core";
import type { NodeProgress, NodeSummary, WeightsAndLayersPackage } from "../job.js";

import type { SharedValues } from "./shared-values.js";

/** The world of one node: everything it reaches outside itself. */
export interface NodeWorld {
  readonly clock: Clock;
  readonly transport: Transport;
  /** The worker's store: packages by digest, and the directory of the job. */
  readonly store: Store;
  /** @param log - told what the engine decides for itself */
  readonly engine: (name: string, log: Logger) => Engine;
  /** What it shares with nodes on the same event loop. */
  readonly shared: SharedValues;
  /** Loads an ES module from its source. */
  readonly loadModule: (source: string) => Promise<Readonly<Record<string, unknown>>>;
  /** The files of a trained model, by name. */
  readonly modelFiles: (
    model: WeightsAndLayersPackage,
    weights: Float32Array,
    state: Float32Array,
  ) => Readonly<Record<string, Uint8Array>>;
  /** A logger that writes formatted lines. */
  readonly logger: (write: (line: string) => void, nodeId: NodeId) => Logger;
  /** Differs each time a node is started, so that its peers notice a new one. */
  readonly incarnationSeed: string;
}

/** What a node says to its worker. */
export type NodeEvent =
  | { readonly type: "ready" }
  | { readonly type: "log"; readonly line: string }
  | { readonly type: "progress"; readonly progress: NodeProgress }
  | { readonly type: "finished"; readonly summary: NodeSummary }
  | { readonly type: "failed"; readonly error: ErrorRecord }
  /** Somebody is about to end the node, because of this error; it can tell its peers nothing itself. */
  | { readonly type: "dying"; readonly error: ErrorRecord };

/** What a worker says to its node. */
export type NodeCommand =
  { readonly type: "start" } | { readonly type: "stop"; readonly error: ErrorRecord };

/** The node's end of the line to its worker. */
export interface NodeControl {
  readonly emit: (event: NodeEvent) => void;
  /** Resolves when all nodes are ready. */
  readonly started: Promise<void>;
  /** Fires when the job is called off; its reason is the error to end with. */
  readonly signal: AbortSignal;
}
