import { SILENT, type GlobalSettings, type NodeId, type TensorLayout } from "@psgd/core";
import type { OptimizerRule, SyncPolicyName } from "@psgd/sgd";
import { pack } from "@psgd/wire";
import { HarnessRun, type CodecPair } from "./harness-run.js";

/** What is measured: the codecs of a job and its circumstances, with few steps. */
export interface TrafficSubject {
  /** Of the whole model, or with `perTensor` of each tensor in the order of the layout. */
  readonly codecs: readonly [CodecPair, ...CodecPair[]];
  readonly rule: OptimizerRule;
  /** Its `stepCount` says how many steps are taken. */
  readonly settings: GlobalSettings;
  readonly sync: SyncPolicyName;
  readonly layout: TensorLayout;
  readonly perTensor: boolean;
  readonly seed: number;
  readonly callTimeoutMs: number;
}

/** What codecs send, and what they keep, measured on codecs that run. */
export interface TrafficMeasurement {
  readonly steps: number;
  /** Steps in which anything was sent. */
  readonly stepsWithMessages: number;
  readonly links: readonly LinkTraffic[];
  /** What the same messages would take if each held every value of its codec in fp32. */
  readonly denseBytes: number;
  /** Messages that wait for one another in a step, the longest chain of them. */
  readonly longestChain: number;
  /** By node: bytes of what its codecs would save. */
  readonly stateBytes: ReadonlyMap<NodeId, number>;
  /** By worker: whom it hears from in a step at most. */
  readonly hears: ReadonlyMap<NodeId, readonly NodeId[]>;
}

interface LinkTraffic {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly messages: number;
  readonly bytes: number;
}

/**
 * Lets the codecs of a job take some steps, with gradients of chance, and counts what they send.
 * @throws {PsgdError} what the codecs are guilty of, as in the harness
 */
export async function measureTraffic(subject: TrafficSubject): Promise<TrafficMeasurement> {
  const { codecs, settings, layout, perTensor, seed } = subject;
  const sizes = perTensor ? layout.tensors.map(({ size }) => size) : [layout.size];
  const links = new Map<string, { from: NodeId; to: NodeId; messages: number; bytes: number }>();
  const steps = new Set<number>();
  const hears = new Map<NodeId, Set<NodeId>>();
  const stateBytes = new Map<NodeId, number>();
  let longestChain = 0;
  let denseBytes = 0;
  const deltas = settings.blocks.map((block) => cheapNoise(layout.size, seed + block));
  const run = new HarnessRun(
    {
      ...subject,
      codec: codecs[0].codec,
      server: codecs.find(({ server }) => server !== undefined)?.server,
      ...(perTensor ? { codecsByTensor: codecs } : {}),
      ...{ agreement: "none", tolerance: Infinity },
      probe: {
        delta: ({ blockId }) => deltas[blockId]!.slice(),
        onResult: () => {},
        onMessage: ({ from, to, variableId, step, bytes, depth }) => {
          const key = `${from}>${to}`;
          const link = links.get(key) ?? { from, to, messages: 0, bytes: 0 };
          links.set(key, link);
          link.messages++;
          link.bytes += bytes;
          // Clocks are of no codec.
          denseBytes += 4 * (sizes[variableId] ?? 0);
          steps.add(step);
          longestChain = Math.max(longestChain, depth);
          if (to >= 0) hears.set(to, (hears.get(to) ?? new Set()).add(from));
        },
        onEnd: (node, ended) =>
          stateBytes.set(
            node,
            ended.reduce((sum, codec) => sum + pack(codec.exportState()).length, 0),
          ),
      },
    },
    0,
    SILENT,
  );
  await run.complete();
  return {
    steps: settings.stepCount,
    stepsWithMessages: steps.size,
    links: [...links.values()].sort((a, b) => b.bytes - a.bytes || a.from - b.from || a.to - b.to),
    denseBytes,
    longestChain,
    stateBytes,
    hears: new Map(
      settings.nodes.map((node) => [node, [...(hears.get(node) ?? [])].sort((a, b) => a - b)]),
    ),
  };
}

/** Values of both signs and of different sizes, as gradients have; the same for the same seed. */
function cheapNoise(size: number, seed: number): Float32Array {
  const values = new Float32Array(size);
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let i = 0; i < size; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    values[i] = 1e-3 * (state / 2 ** 31) ** 3;
  }
  return values;
}
