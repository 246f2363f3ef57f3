import { PARAMETER_SERVER, PsgdError, type ErrorRecord, type NodeId } from "@psgd/core";
import { PACKAGE_NAMES, type NodeAssignment, type NodeRecord, type PackageName } from "./job.js";
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
  /** I have plans to run; tell me where. */
  | { readonly type: "plans" }
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
  | ({ readonly type: "fetched"; readonly record: NodeRecord } & OfNode)
  /** Plans are served here from now on. */
  | { readonly type: "plansReady"; readonly address: string }
  /** They are not any more, or cannot be. */
  | { readonly type: "plansEnded"; readonly error: ErrorRecord };

/** More nodes than any job can have; a list of them must not fill a worker's memory. */
const MAX_NODES = 2 ** 16;

type Fields = Readonly<Record<string, unknown>>;

/**
 * Checks what somebody on the network sent to a worker, as far as the worker itself relies on it; what is in packages
 * and in the rest of a spec is the node's to judge.
 *
 * @throws {PsgdError} WIRE_MALFORMED
 */
export function readWorkerRequest(value: unknown): WorkerRequest {
  const fault = faultOf(value);
  if (fault === undefined) return value as WorkerRequest;
  throw new PsgdError("WIRE_MALFORMED", `request to a worker: ${fault}`);
}

function faultOf(value: unknown): string | undefined {
  if (!isFields(value)) return `expected an object, got ${typeof value}`;
  const { type } = value;
  switch (type) {
    case "records":
    case "plans":
      return undefined;
    case "attach":
      return faultOfJob(value);
    case "cancel":
      return faultOfJob(value) ?? faultOfError(value["error"]);
    case "canCommit":
      return faultOfNode(value) ?? expect(value, "protocol", "number");
    case "rollback":
      return faultOfNode(value) ?? expect(value, "reason", "string");
    case "package":
      return faultOfNode(value) ?? faultOfPackage(value);
    case "doCommit":
    case "fetch":
    case "retrieved":
      return faultOfNode(value);
    case "preCommit":
      return faultOfAssignment(value["assignment"]);
    default:
      return `\`type\`: expected one that workers know, got ${shown(type)}`;
  }
}

function faultOfJob({ jobId }: Fields): string | undefined {
  // It becomes a part of addresses and of names of files.
  if (typeof jobId === "string" && /^[\w-]{1,64}$/.test(jobId)) return undefined;
  return `\`jobId\`: expected letters, digits, \`_\` and \`-\`, at most 64, got ${shown(jobId)}`;
}

function faultOfNode(fields: Fields): string | undefined {
  const { nodeId } = fields;
  const isNode =
    nodeId === PARAMETER_SERVER ||
    (Number.isSafeInteger(nodeId) && Number(nodeId) >= 0 && Number(nodeId) < MAX_NODES);
  return (
    faultOfJob(fields) ?? (isNode ? undefined : `\`nodeId\`: expected one, got ${shown(nodeId)}`)
  );
}

function faultOfPackage({ name, content }: Fields): string | undefined {
  if (!(PACKAGE_NAMES as readonly unknown[]).includes(name))
    return `\`name\`: expected that of a package, got ${shown(name)}`;
  return content === undefined || content instanceof Uint8Array
    ? undefined
    : `\`content\`: expected bytes, got ${typeof content}`;
}

function faultOfError(error: unknown): string | undefined {
  if (!isFields(error)) return `\`error\`: expected one, got ${typeof error}`;
  return (
    expect(error, "message", "string") ??
    (isFields(error["details"]) ? undefined : "`error`: expected `details`, got none")
  );
}

function faultOfAssignment(assignment: unknown): string | undefined {
  if (!isFields(assignment)) return `\`assignment\`: expected one, got ${typeof assignment}`;
  const { spec, packages } = assignment;
  if (!isFields(spec) || !isFields(packages))
    return "`assignment`: expected `spec` and `packages`, got none";
  const { nodeCount } = spec;
  if (!Number.isSafeInteger(nodeCount) || Number(nodeCount) < 1 || Number(nodeCount) > MAX_NODES)
    return `\`nodeCount\`: expected a whole number from 1 to ${MAX_NODES}, got ${shown(nodeCount)}`;
  const unidentified = PACKAGE_NAMES.find((name) => !/^[0-9a-f]{64}$/.test(String(packages[name])));
  if (unidentified !== undefined)
    return `\`${unidentified}\`: expected a SHA-256, got ${shown(packages[unidentified])}`;
  return faultOfNode(assignment) ?? expect(assignment, "submittedAt", "string");
}

function expect(fields: Fields, name: string, type: "string" | "number"): string | undefined {
  const value = fields[name];
  return typeof value === type ? undefined : `\`${name}\`: expected a ${type}, got ${typeof value}`;
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null;
}

function shown(value: unknown): string {
  return typeof value === "string" || typeof value === "number"
    ? JSON.stringify(value).slice(0, 80)
    : typeof value;
}
