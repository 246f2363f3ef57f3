import { PARAMETER_SERVER, seededRandom, type NodeId, type Random } from "@psgd/core";

/** Something that goes wrong. Rates are parts of the frames, 0 … 1, until the faults end. */
export type Fault =
  | { readonly kind: "loss" | "duplication" | "corruption"; readonly rate: number }
  | { readonly kind: "reordering"; readonly rate: number; readonly ms: number }
  /** Every frame comes up to so much later. */
  | { readonly kind: "delay"; readonly ms: number }
  /** The broker and one node do not hear each other, or one does not hear the other. */
  | {
      readonly kind: "cut";
      readonly node: NodeId;
      readonly direction: "to" | "from" | "both";
      readonly atMs: number;
      readonly ms: number;
    }
  | { readonly kind: "broker restart"; readonly atMs: number; readonly ms: number }
  /** The broker cuts off a node that has more than so much waiting for it. */
  | { readonly kind: "slow consumer limit"; readonly bytes: number }
  /** The network takes no larger frames: messages go in pieces. */
  | { readonly kind: "small frames"; readonly bytes: number }
  /** So few frames of a link may be on their way. */
  | { readonly kind: "short credit"; readonly frames: number }
  | { readonly kind: "pause"; readonly node: NodeId; readonly atMs: number; readonly ms: number }
  | { readonly kind: "slow node"; readonly node: NodeId; readonly factor: number }
  | { readonly kind: "clock offset"; readonly node: NodeId; readonly ms: number }
  /** The node is gone; with `restartAfterMs` its program starts again from nothing. */
  | {
      readonly kind: "crash";
      readonly node: NodeId;
      readonly atMs: number;
      readonly restartAfterMs: number | undefined;
    }
  /** The so many-th call of the node's codec throws. */
  | { readonly kind: "throw"; readonly node: NodeId; readonly call: number };

/** One simulated run, complete: the same scenario is the same run. Plain data, to print and to shrink. */
export interface Scenario {
  /** Decides the data, and which frame meets which fate. */
  readonly seed: number;
  readonly nodeCount: number;
  readonly redundancy: number;
  readonly stepCount: number;
  readonly faults: readonly Fault[];
}

/** What scenarios are drawn from. */
export interface ScenarioLimits {
  /** @defaultValue 1 */
  readonly minNodeCount?: number;
  /** At least the fewest. @defaultValue 3 */
  readonly maxNodeCount?: number;
  /** @defaultValue 4 */
  readonly maxStepCount?: number;
  /** Whether a block may be computed by two nodes. @defaultValue true */
  readonly withRedundancy?: boolean;
  /** Whether there is a parameter server that things can happen to. @defaultValue false */
  readonly hasServer?: boolean;
  /** Whether nodes may crash and codecs throw, which ends a job. @defaultValue true */
  readonly withDeaths?: boolean;
}

/** Rates hold until then, and nothing else begins later: afterwards the job must come to its end. */
export const FAULTS_END_MS = 3_000;

const DAY_MS = 86_400_000;

/** Draws a scenario: each fault is on in some seeds and off in others, so that every combination comes up. */
export function drawScenario(seed: number, limits: ScenarioLimits = {}): Scenario {
  const random = seededRandom(`${seed}/scenario`);
  const upTo = (count: number): number => 1 + (random.uint32() % count);
  const { minNodeCount = 1, maxNodeCount = 3, maxStepCount = 4, withRedundancy = true } = limits;
  const drawnNodes = Math.min(maxNodeCount, 1 + upTo(Math.max(1, maxNodeCount - 1)));
  const nodeCount = Math.max(minNodeCount, drawnNodes);
  // Drawn in any case, so that the rest of a seed is the same with and without.
  const isRedundant = upTo(8) === 1;
  return {
    seed,
    nodeCount,
    redundancy: withRedundancy && nodeCount > 1 && isRedundant ? 2 : 1,
    stepCount: Math.min(maxStepCount, 1 + upTo(Math.max(1, maxStepCount - 1))),
    faults: drawFaults(random, nodeCount, limits),
  };
}

function drawFaults(
  random: Random,
  nodeCount: number,
  { hasServer = false, withDeaths = true }: ScenarioLimits,
): Fault[] {
  const percent = (most: number): number => (1 + (random.uint32() % most)) / 100;
  const ms = (most: number): number => 1 + (random.uint32() % most);
  const node = (): NodeId => {
    const drawn = random.uint32() % (nodeCount + (hasServer ? 1 : 0));
    return drawn === nodeCount ? PARAMETER_SERVER : drawn;
  };
  const menu: readonly (readonly [chance: number, draw: () => Fault])[] = [
    [0.3, () => ({ kind: "loss", rate: percent(30) })],
    [0.3, () => ({ kind: "duplication", rate: percent(50) })],
    [0.15, () => ({ kind: "corruption", rate: percent(10) })],
    [0.3, () => ({ kind: "reordering", rate: percent(50), ms: ms(50) })],
    [0.3, () => ({ kind: "delay", ms: 2 ** (random.uint32() % 9) })],
    [
      0.15,
      () => ({
        kind: "cut",
        node: node(),
        direction: (["to", "from", "both"] as const)[random.uint32() % 3]!,
        atMs: startOf(random),
        ms: ms(6000),
      }),
    ],
    [0.1, () => ({ kind: "broker restart", atMs: startOf(random), ms: ms(3000) })],
    [0.05, () => ({ kind: "slow consumer limit", bytes: 512 * ms(8) })],
    [0.2, () => ({ kind: "pause", node: node(), atMs: startOf(random), ms: ms(8000) })],
    [0.2, () => ({ kind: "slow node", node: node(), factor: 1 + ms(9) })],
    [0.2, () => ({ kind: "clock offset", node: node(), ms: ms(2 * DAY_MS) - DAY_MS })],
    [
      withDeaths ? 0.05 : 0,
      () => ({
        kind: "crash",
        node: node(),
        atMs: startOf(random),
        restartAfterMs: random.uint32() % 2 === 0 ? undefined : ms(2000),
      }),
    ],
    [withDeaths ? 0.04 : 0, () => ({ kind: "throw", node: node(), call: ms(8) })],
    // From 16 bytes of payload on, beside a link's header.
    [0.1, () => ({ kind: "small frames", bytes: 88 + 8 * (random.uint32() % 6) })],
    [0.1, () => ({ kind: "short credit", frames: 1 + (random.uint32() % 4) })],
  ];
  return menu.flatMap(([chance, draw]) => (random.float() < chance ? [draw()] : []));
}

/** Most jobs without trouble are over in a few milliseconds: half of the faults begin that early. */
function startOf(random: Random): number {
  return random.uint32() % (random.uint32() % 2 === 0 ? 16 : FAULTS_END_MS);
}

/** In few words. */
export function faultInWords(fault: Fault): string {
  const { kind, ...values } = fault;
  const parts = Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name} ${value}`],
  );
  return `${kind} (${parts.join(", ")})`;
}
