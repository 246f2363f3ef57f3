import { PsgdError } from "./errors.js";
import type { BlockId, NodeId } from "./ids.js";
import { permutation, seededRandom } from "./random.js";
import type { BlockAssignment } from "./assignments/assignment.js";

/** Extra parameters that a job gives to its codecs: plain values by name. */
export type CodecParameters = Readonly<Record<string, number | string | boolean>>;

/** What every codec of a job knows about the job: who takes part, which blocks there are, and its parameters. */
export interface GlobalSettings {
  /** Number of workers; the parameter server is not counted. */
  readonly nodeCount: number;
  /** The workers, 0 … nodeCount − 1. */
  readonly nodes: readonly NodeId[];
  readonly blockCount: number;
  readonly blocks: readonly BlockId[];
  /** Number of nodes that compute the same block. */
  readonly redundancy: number;
  /** Samples per block. */
  readonly batchSize: number;
  /** Steps that each worker takes in the whole job. */
  readonly stepCount: number;
  readonly blockToNodes: readonly (readonly NodeId[])[];
  readonly nodeToBlocks: readonly (readonly BlockId[])[];

  /** The workers that do not compute this block, in ascending order. */
  nodesWithout(blockId: BlockId): readonly NodeId[];

  /**
   * A part of the workers, drawn at random and alike by every node of the job, parameter server included.
   * @param draw - which drawing: each number has its own
   * @param count - how many: 0 … nodeCount
   * @returns ids in ascending order
   */
  sampleNodes(draw: number, count: number): readonly NodeId[];

  /**
   * A parameter of the job (`--param NAME=VALUE`).
   * @throws {PsgdError} SETTINGS_PARAM_MISSING if the job does not set it and there is no fallback;
   *   SETTINGS_INVALID if it is set to a value of another type than the fallback's
   */
  param(name: string): number | string | boolean;
  param<T extends number | string | boolean>(name: string, fallback: T): Widened<T>;
}

/** The type of a parameter, given its fallback: `150` stands for any number. */
export type Widened<T> = T extends number ? number : T extends string ? string : boolean;

/** What settings are made of. */
export interface SettingsValues {
  readonly assignment: BlockAssignment;
  readonly batchSize: number;
  readonly stepCount: number;
  readonly parameters: CodecParameters;
  /** What `sampleNodes` draws from. @defaultValue 0 */
  readonly seed?: number;
}

/** Builds the settings of a job. */
export function createSettings(values: SettingsValues): GlobalSettings {
  const { assignment, parameters } = values;
  const { nodeCount, blockCount, redundancy, blockToNodes, nodeToBlocks } = assignment;
  const nodes = range(nodeCount);

  function param(name: string): number | string | boolean;
  function param<T extends number | string | boolean>(name: string, fallback: T): Widened<T>;
  function param(name: string, fallback?: number | string | boolean): number | string | boolean {
    const value = Object.hasOwn(parameters, name) ? parameters[name] : fallback;
    if (value === undefined) {
      throw new PsgdError(
        "SETTINGS_PARAM_MISSING",
        `parameter \`${name}\`: expected a value, got none; the codec has no default for it; add \`--param ${name}=VALUE\``,
      );
    }
    if (fallback !== undefined && typeof value !== typeof fallback) {
      throw new PsgdError(
        "SETTINGS_INVALID",
        `parameter \`${name}\`: expected a ${typeof fallback}, got ${JSON.stringify(value)}; set it with \`--param ${name}=VALUE\``,
      );
    }
    return value;
  }

  return {
    nodeCount,
    nodes,
    blockCount,
    blocks: range(blockCount),
    redundancy,
    batchSize: values.batchSize,
    stepCount: values.stepCount,
    blockToNodes,
    nodeToBlocks,
    sampleNodes: (draw, count) => {
      const random = seededRandom(values.seed ?? 0).fork(`sample ${draw}`);
      return [...permutation(nodeCount, random).subarray(0, count)].sort((a, b) => a - b);
    },
    nodesWithout: (blockId) => nodes.filter((node) => !blockToNodes[blockId]?.includes(node)),
    param,
  };
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
