import { seededRandom, type CodecClass, type CodecParameters } from "@psgd/core";
import { Cluster, shuffled } from "./cluster.js";

/** The server's side of a federated method, in double precision: the mean of the clients' weights to the next model. */
export type NextModel = (mean: readonly number[], current: readonly number[]) => readonly number[];

/**
 * Runs rounds of one local step with random weights, in random orders.
 * @returns the models of each round, and those that an independent `next` makes from the same weights
 */
export function federatedRounds(
  codec: CodecClass,
  parameters: CodecParameters,
  next: NextModel,
): {
  readonly models: readonly (readonly number[])[];
  readonly expected: readonly (readonly number[])[];
} {
  const size = 5;
  const nodeCount = 3;
  const cluster = new Cluster({
    codec,
    server: codec.server!,
    nodeCount,
    size,
    parameters: { local_steps: 1, ...parameters },
  });
  const models: number[][] = [];
  const expected: (readonly number[])[] = [];
  // Jobs of the cluster begin at 0.
  let current: readonly number[] = new Array<number>(size).fill(0);
  for (let round = 0; round < 6; round++) {
    const random = seededRandom(`round ${round}`);
    const weights = Array.from({ length: nodeCount }, () =>
      Array.from({ length: size }, () => Math.fround(random.normal())),
    );
    const mean = weights[0].map((_, i) => weights.reduce((sum, of) => sum + of[i], 0) / nodeCount);
    current = next(mean, current);
    expected.push(current);
    const results = cluster.runStep(round, ({ node }) => weights[node], shuffled(`order ${round}`));
    const [first, ...others] = results.map((result) => [...result!]);
    for (const other of others) if (other.join() !== first.join()) throw new Error("nodes differ");
    models.push(first);
  }
  return { models, expected };
}
