import type { CodecClass, CodecParameters } from "@psgd/core";
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
  return {
    codec: options.codec,
    server,
    optimizer,
    sync: options.sync ?? "ssgd",
    parameters: options.parameters ?? {},
    size: options.size ?? 3,
    promise: options.promise ?? "none",
    // By default so long that a time-out says that a message is missing.
    syncTimeoutMs: options.syncTimeoutMs ?? 20_000,
    callTimeoutMs: 5_000,
    parts: { ...PRODUCTION_PARTS, ...options.parts },
  };
}
