import { PsgdError, meanOf } from "@psgd/core";
import { requireAtLeast, requireWhole } from "../compressors/index.js";
import { requireEnough, requireFinite, type Aggregator } from "./aggregator.js";
import { centeredClipping } from "./centered-clipping.js";
import { coordinateMedian } from "./coordinate-median.js";
import { geometricMedian } from "./geometric-median.js";
import { krum } from "./krum.js";
import { trimmedMean } from "./trimmed-mean.js";

/** How an aggregator is set. */
export interface AggregatorOptions {
  /** Nodes that may lie: f. */
  readonly byzantine: number;
  /** Vectors that multi-Krum takes the mean of. */
  readonly chosen: number;
  /** Of centered clipping. */
  readonly radius: number;
}

const AGGREGATORS: Readonly<Record<string, (options: AggregatorOptions) => Aggregator>> = {
  mean: () => ({ name: "mean", leastCount: 1, aggregate: (vectors) => meanOf(vectors) }),
  median: ({ byzantine }) => coordinateMedian(byzantine),
  trimmed_mean: ({ byzantine }) => trimmedMean(byzantine),
  krum: ({ byzantine }) => krum(byzantine, 1),
  multi_krum: ({ byzantine, chosen }) => krum(byzantine, chosen),
  geometric_median: ({ byzantine }) => geometricMedian(byzantine),
  centered_clipping: ({ byzantine, radius }) => centeredClipping(byzantine, radius),
};

/** @throws {PsgdError} SETTINGS_INVALID */
export function aggregatorNamed(name: string, options: AggregatorOptions): Aggregator {
  requireWhole(0, options.byzantine, "byzantine");
  requireWhole(1, options.chosen, "chosen");
  requireAtLeast(0, options.radius, "radius");
  const create = Object.hasOwn(AGGREGATORS, name) ? AGGREGATORS[name] : undefined;
  if (create !== undefined) return guarded(create(options), options.byzantine);
  throw new PsgdError(
    "SETTINGS_INVALID",
    `parameter \`aggregator\`: expected one of ${Object.keys(AGGREGATORS).join(", ")}, got "${name}"; set it with \`--param aggregator=krum\``,
  );
}

/** The same, but it looks at its input first: some rules drop a NaN without a sign, others spread it. */
function guarded(rule: Aggregator, byzantine: number): Aggregator {
  return {
    ...rule,
    aggregate(vectors, previous) {
      requireEnough(vectors.length, rule, byzantine);
      for (const [index, vector] of vectors.entries()) requireFinite(vector, `vector ${index}`);
      return rule.aggregate(vectors, previous);
    },
  };
}
