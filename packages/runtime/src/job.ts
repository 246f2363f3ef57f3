import { createHash } from "node:crypto";
import {
  PARAMETER_SERVER,
  PsgdError,
  type AssignmentName,
  type CodecParameters,
  type ErrorRecord,
  type NodeId,
  type Plan,
  type TensorLayout,
} from "@psgd/core";
import type { TransformDescription } from "@psgd/data";
import type { GradientDescentName, OptimizerName, SyncPolicyName } from "@psgd/sgd";
import type { LedgerEntry } from "./node/ledger.js";
import { pack, unpack } from "@psgd/wire";

/** Version of what submitters, workers and nodes say to each other; unequal versions do not work together. */
export const PROTOCOL = 1;

/** Everything that determines a run; plain data, kept in the manifest so that the job can be run again. */
export interface JobSpec {
  /** Codec as the user named it, `FILE.CLASS`; part of the result files' names. */
  readonly codec: string;
  /** Server codec, `FILE.CLASS`, if the job has a parameter server. */
  readonly serverCodec: string | undefined;
  /** One codec instance per tensor instead of per model. */
  readonly perTensor: boolean;
  /** Codecs by tensor, where the user gave them so. */
  readonly codecMap: Readonly<Record<string, string>> | undefined;
  readonly nodeCount: number;
  readonly redundancy: number;
  readonly blockAssignment: AssignmentName;
  /** Samples per block. */
  readonly batchSize: number;
  readonly epochs: number;
  /** Stops after so many steps, if given; for trials and tests. */
  readonly maxSteps: number | undefined;
  readonly seed: number;
  readonly sync: SyncPolicyName;
  /** Steps that a worker may be ahead of the slowest, with `ssp`. */
  readonly staleness: number;
  readonly syncTimeoutMs: number;
  readonly codecTimeoutMs: number;
  readonly optimizer: OptimizerName;
  readonly gradientDescent: GradientDescentName;
  readonly learningRate: number;
  readonly parameters: CodecParameters;
  readonly model: string;
  readonly dataset: string;
  readonly transforms: readonly TransformDescription[];
  readonly engine: string;
}

/** A codec class ready to travel: one bundled ES module and the export to take from it. */
export interface CodecSource {
  readonly className: string;
  /** JavaScript of one ES module without imports outside Node. */
  readonly source: string;
}

/** A codec class by its place among the modules of a job. */
export interface CodecRef {
  readonly className: string;
  readonly module: number;
}

/** The codecs of one tensor, or of the whole model, on workers and on the parameter server. */
export interface VariableCodec {
  /** Name in the layout; `undefined` for the whole model. */
  readonly tensor: string | undefined;
  readonly codec: CodecRef;
  /** Absent where nothing goes to the parameter server. */
  readonly server: CodecRef | undefined;
}

/** What workers ask the submitter for, under the seed's names, in the order in which they ask. */
export const PACKAGE_NAMES = [
  "global_setting_package",
  "codec_and_sgd_package",
  "weights_and_layers_package",
  "misc_package",
  "data_sample_package",
] as const;

export type PackageName = (typeof PACKAGE_NAMES)[number];

/** Who takes part and how the batches are cut. */
export interface GlobalSettingPackage {
  readonly nodeCount: number;
  readonly hasServer: boolean;
  readonly redundancy: number;
  readonly blockAssignment: AssignmentName;
  readonly batchSize: number;
  readonly stepsPerEpoch: number;
  readonly stepCount: number;
  readonly seed: number;
  readonly parameters: CodecParameters;
}

/** How nodes talk and how gradients become weights. */
export interface CodecAndSgdPackage {
  readonly modules: readonly string[];
  readonly variables: readonly VariableCodec[];
  readonly sync: SyncPolicyName;
  /** Steps that a worker may be ahead of the slowest, with `ssp`. */
  readonly staleness: number;
  readonly syncTimeoutMs: number;
  readonly codecTimeoutMs: number;
  readonly optimizer: OptimizerName;
  readonly gradientDescent: GradientDescentName;
  readonly learningRate: number;
}

/** The model: its training step and its evaluation as plans, and where it starts. */
export interface WeightsAndLayersPackage {
  readonly train: Plan;
  readonly evaluate: Plan;
  readonly predict: Plan;
  readonly evaluationBatchSize: number;
  readonly layout: TensorLayout;
  readonly initialWeights: Float32Array;
  /** Flat as in `train.state.layout`: frozen weights and moving averages, which nodes keep to themselves. */
  readonly initialState: Float32Array;
  /** TensorFlow.js layers topology, for the final model's file. */
  readonly topology: unknown;
}

/** What is left: names, and what is done with the data. */
export interface MiscPackage {
  readonly epochs: number;
  /** Training ends after the epoch that reaches it. */
  readonly targetAccuracy?: number | undefined;
  readonly engine: string;
  readonly transforms: readonly TransformDescription[];
}

/** What is in the packages, but for the data set, which packs itself. */
export interface PackageContents {
  readonly global_setting_package: GlobalSettingPackage;
  readonly codec_and_sgd_package: CodecAndSgdPackage;
  readonly weights_and_layers_package: WeightsAndLayersPackage;
  readonly misc_package: MiscPackage;
}

/** The packages of a job as bytes, and their identities. */
export type JobPackages = Readonly<Record<PackageName, Uint8Array>>;
export type PackageDigests = Readonly<Record<PackageName, string>>;

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export function digestsOf(packages: JobPackages): PackageDigests {
  return Object.fromEntries(
    PACKAGE_NAMES.map((name) => [name, sha256(packages[name])]),
  ) as PackageDigests;
}

/** Packs the parts of a job; the data set comes as bytes already. */
export function packJob(parts: {
  readonly settings: GlobalSettingPackage;
  readonly codecs: CodecAndSgdPackage;
  readonly model: WeightsAndLayersPackage;
  readonly misc: MiscPackage;
  readonly dataset: Uint8Array;
}): JobPackages {
  return {
    global_setting_package: pack(parts.settings),
    codec_and_sgd_package: pack(parts.codecs),
    weights_and_layers_package: pack(parts.model),
    misc_package: pack(parts.misc),
    data_sample_package: parts.dataset,
  };
}

/**
 * Unpacks a package whose digest was checked: its form is what this version of `packJob` wrote.
 * @throws {PsgdError} WIRE_MALFORMED
 */
export function unpackPackage<Name extends keyof PackageContents>(
  name: Name,
  bytes: Uint8Array,
): PackageContents[Name] {
  const value = unpack(bytes);
  if (typeof value === "object" && value !== null) return value as PackageContents[Name];
  throw new PsgdError("WIRE_MALFORMED", `${name}: expected an object, got ${typeof value}`);
}

/** Which node of which job a worker is to run. */
export interface NodeAssignment {
  readonly jobId: string;
  readonly nodeId: NodeId;
  readonly spec: JobSpec;
  readonly packages: PackageDigests;
  /** ISO date, for display. */
  readonly submittedAt: string;
}

/** How far a node is. */
export interface NodeProgress {
  readonly epoch: number;
  readonly epochs: number;
  /** Steps done, over all epochs. */
  readonly step: number;
  readonly stepCount: number;
  readonly loss: number | undefined;
  readonly accuracy: number | undefined;
  readonly samplesPerSec: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/** What a node that has finished reports. */
export interface NodeSummary {
  readonly steps: number;
  readonly elapsedMs: number;
  /** On the test set, of the final model; absent on a parameter server. */
  readonly evaluation: { readonly loss: number; readonly accuracy: number | undefined } | undefined;
  /** SHA-256 of the final weights as little-endian float32; absent on a parameter server. */
  readonly modelSha256: string | undefined;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Bytes beyond the codec's messages: headers, acknowledgements, retransmissions. */
  readonly overheadBytes: number;
  readonly messagesDelivered: number;
  readonly messagesLate: number;
  /** Pairs of staleness and number of messages. */
  readonly staleness: readonly (readonly [number, number])[];
  /** What it sent and received, by codec and peer. */
  readonly ledger: readonly LedgerEntry[];
}

export type NodeState = "prepared" | "running" | "done" | "failed" | "cancelled";

/** What a worker keeps about one node of one job, on disk until the results are fetched and after. */
export interface NodeRecord {
  readonly jobId: string;
  readonly nodeId: NodeId;
  readonly spec: JobSpec;
  readonly packages: PackageDigests;
  readonly submittedAt: string;
  readonly state: NodeState;
  readonly finishedAt: string | undefined;
  readonly error: ErrorRecord | undefined;
  readonly summary: NodeSummary | undefined;
  /** Whether a submitter has taken the results home. */
  readonly isRetrieved: boolean;
}

/** All nodes of a job: its workers and, if it has one, the parameter server. */
export function nodesOf(spec: Pick<JobSpec, "nodeCount" | "serverCodec">): readonly NodeId[] {
  const workers = Array.from({ length: spec.nodeCount }, (_, node) => node);
  return spec.serverCodec === undefined ? workers : [...workers, PARAMETER_SERVER];
}

/** Where a node of a job listens to its peers. */
export function nodeAddress(jobId: string, nodeId: NodeId): string {
  return `job.${jobId}.${nodeToken(nodeId)}`;
}

/** The node's name in addresses and directories. */
export function nodeToken(nodeId: NodeId): string {
  return nodeId < 0 ? "ps" : `node-${nodeId}`;
}

/** The title of the result files, after the seed: `N(2)-R(1)-ID(0)-CODEC(plain.Plain)`. */
export function resultTitle(
  spec: Pick<JobSpec, "nodeCount" | "redundancy" | "codec">,
  nodeId: NodeId,
): string {
  return `N(${spec.nodeCount})-R(${spec.redundancy})-ID(${nodeId})-CODEC(${spec.codec.replaceAll(/[^\w.-]+/g, "_")})`;
}
