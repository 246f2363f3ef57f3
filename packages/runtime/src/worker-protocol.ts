import type { ErrorRecord, NodeId } from "@psgd/core";
import type { NodeAssignment, NodeRecord, PackageName } from "./job.js";
import type { NodeEvent } from "./node/node-world.js";

interface OfNode {
  readonly jobId: string;
  readonly nodeId: NodeId;
}

/** What submitters and other clients say to a worker. */
export type WorkerRequest =
  /** Phase 1: keep a slot for this node. */
  | ({ readonly type: "canCommit"; readonly protocol: number } & OfNode)
  /** Phase 2: get the packages, prepare the node. */
  | { readonly type: "preCommit"; readonly assignment: NodeAssignment }
  /** Answer to a requirement; without content where the worker holds the package already. */
  | ({
      readonly type: "package";
      readonly name: PackageName;
      readonly content: Uint8Array | undefined;
    } & OfNode)
  /** Phase 3: start. */
  | ({ readonly type: "doCommit" } & OfNode)
  /** Phases 1 and 2 are called off: free the slot, keep nothing. */
  | ({ readonly type: "rollback"; readonly reason: string } & OfNode)
  /** Tell me what happens in this job from now on; what has ended is told at once. */
  | { readonly type: "attach"; readonly jobId: string }
  | { readonly type: "cancel"; readonly jobId: string; readonly error: ErrorRecord }
  | { readonly type: "records" }
  | ({ readonly type: "fetch" } & OfNode)
  /** The results are safe at the submitter's. */
  | ({ readonly type: "retrieved" } & OfNode);

/** What a worker says to submitters and other clients. */
export type WorkerReply =
  | ({ readonly type: "leased" } & OfNode)
  | ({ readonly type: "refused"; readonly error: ErrorRecord } & OfNode)
  /** `isHeld`: the worker has these bytes already. */
  | ({
      readonly type: "requirement";
      readonly name: PackageName;
      readonly isHeld: boolean;
    } & OfNode)
  | ({ readonly type: "ready" } & OfNode)
  | ({ readonly type: "started" } & OfNode)
  | ({ readonly type: "event"; readonly event: NodeEvent } & OfNode)
  /** The node has ended; the record is final. */
  | ({ readonly type: "ended"; readonly record: NodeRecord } & OfNode)
  | { readonly type: "records"; readonly records: readonly NodeRecord[] }
  | ({ readonly type: "file"; readonly path: string; readonly content: Uint8Array } & OfNode)
  | ({ readonly type: "fetched"; readonly record: NodeRecord } & OfNode);
