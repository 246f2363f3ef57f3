import { Mesh, type MeshOptions } from "@psgd/runtime";
import {
  BlockExchange,
  CodecActor,
  SYNC_POLICIES,
  asynchronousSgd,
  type BlockExchangeOptions,
  type CodecActorOptions,
  type SyncPolicy,
  type SyncPolicyName,
} from "@psgd/sgd";

/** Of `ssp`: few, as simulated jobs have few steps. */
export const SIMULATED_STALENESS = 1;

/** The parts of the production runtime that a node is made of; a test may put a broken one in the place of any. */
export interface NodeParts {
  readonly createPolicy: (options: {
    isServer: boolean;
    sync: SyncPolicyName;
    nodeCount: number;
    redundancy: number;
  }) => SyncPolicy;
  readonly createActor: (options: CodecActorOptions) => CodecActor;
  readonly createExchange: (options: BlockExchangeOptions) => BlockExchange;
  readonly openMesh: (options: MeshOptions) => Promise<Mesh>;
}

export const PRODUCTION_PARTS: NodeParts = {
  createPolicy: ({ isServer, sync, nodeCount, redundancy }) =>
    isServer
      ? asynchronousSgd()
      : SYNC_POLICIES[sync]({ nodeCount, redundancy, staleness: SIMULATED_STALENESS }),
  createActor: (options) => new CodecActor(options),
  createExchange: (options) => new BlockExchange(options),
  openMesh: (options) => Mesh.open(options),
};
