import {
  ASSIGNMENTS,
  PARAMETER_SERVER,
  SILENT,
  createSettings,
  isPsgdError,
  layoutOf,
  seededRandom,
  type CodecClass,
  type CodecParameters,
} from "@psgd/core";
import { resolvePairing, type OptimizerName, type SyncPolicyName } from "@psgd/sgd";
import { PRODUCTION_PARTS, type NodeParts } from "./node-parts.js";

/** What is known about the models a codec leaves: their exact values, that nodes agree, or nothing. */
export type ModelPromise = "mean" | "agreement" | "none";

/** What every seed of a simulation runs. */
export interface SimulatedJob {
  readonly codec: CodecClass;
  readonly server: CodecClass | undefined;
  readonly optimizer: OptimizerName;
  readonly sync: SyncPolicyName;
  readonly parameters: CodecParameters;
  /** Values of the model. */
  readonly size: number;
  readonly promise: ModelPromise;
  /** Fewer the codec refuses. */
  readonly fewestNodes: number;
  readonly syncTimeoutMs: number;
  readonly callTimeoutMs: number;
  readonly parts: NodeParts;
}

/** What one has to say of a job, and may. */
export interface SimulatedJobOptions {
  readonly codec: CodecClass;
  /** Instead of the server that the codec declares. */
  readonly serverCodec?: CodecClass;
  /** @defaultValue "ssgd" */
  readonly sync?: SyncPolicyName;
  readonly parameters?: CodecParameters;
  /** @defaultValue 3 */
  readonly size?: number;
  /** @defaultValue "none" */
  readonly promise?: ModelPromise;
  /** How long a step may wait before the rescue hook. @defaultValue 20,000: longer than all faults together */
  readonly syncTimeoutMs?: number;
  /** Parts of the runtime that are replaced, to see whether the simulation notices. */
  readonly parts?: Partial<NodeParts>;
}

/**
 * Completes a job.
 * @throws {PsgdError} PAIRING_INVALID
 */
export function simulatedJob(options: SimulatedJobOptions): SimulatedJob {
  const { optimizer, server } = resolvePairing(options);
  const { codec, parameters = {}, size = 3 } = options;
  return {
    ...{ codec, server, optimizer, parameters, size },
    sync: options.sync ?? "ssgd",
    fewestNodes: fewestNodesOf(server === undefined ? [codec] : [codec, server], parameters, size),
    promise: options.promise ?? "none",
    // By default so long that a time-out says that a message is missing.
    syncTimeoutMs: options.syncTimeoutMs ?? 20_000,
    callTimeoutMs: 5_000,
    parts: { ...PRODUCTION_PARTS, ...options.parts },
  };
}

/** So many nodes are tried. */
const MOST_NODES = 5;

/** Some algorithms need a number of nodes, as a majority does; 1 if none of those tried will do. */
function fewestNodesOf(
  codecs: readonly CodecClass[],
  parameters: CodecParameters,
  size: number,
): number {
  for (let nodeCount = 1; nodeCount <= MOST_NODES; nodeCount++) {
    const assignment = ASSIGNMENTS.iid({ nodeCount, redundancy: 1 });
    const settings = createSettings({
      ...{ assignment, parameters, batchSize: 8, stepCount: 4, seed: 0 },
    });
    try {
      for (const [place, codecClass] of codecs.entries())
        new codecClass({
          nodeId: place === 0 ? 0 : PARAMETER_SERVER,
          settings,
          layout: layoutOf([{ name: "w", shape: [size] }]),
          random: seededRandom("fewest nodes"),
          log: SILENT,
          currentWeights: () => new Float32Array(size),
          learningRate: () => 0.1,
        }).dispose();
      return nodeCount;
    } catch (error) {
      // Anything else is for the simulation to find.
      if (!isPsgdError(error, "SETTINGS_INVALID")) return nodeCount;
    }
  }
  return 1;
}
