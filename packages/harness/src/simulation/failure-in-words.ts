import { INVARIANTS } from "./invariants.js";
import { faultInWords } from "./scenario.js";
import type { Outcome } from "./world.js";

/** So many of the last lines are told. */
const LAST_LINES = 80;

/**
 * A failing run for people: which promise is broken and how, what went wrong around it, and what the nodes did, as a
 * numbered list.
 */
export function failureInWords({ scenario, violation, story }: Outcome): string {
  if (violation === undefined) return "nothing failed";
  const { seed, nodeCount, redundancy, stepCount, faults } = scenario;
  const skipped = Math.max(0, story.length - LAST_LINES);
  return [
    `${violation.invariant}: ${INVARIANTS[violation.invariant]}`,
    `  broken after ${violation.atMs.toFixed(3)} ms: ${violation.text}`,
    `  seed ${seed}, ${nodeCount} nodes, redundancy ${redundancy}, ${stepCount} steps, ` +
      (faults.length === 0 ? "no faults" : `faults: ${faults.map(faultInWords).join(", ")}`),
    ...(skipped > 0 ? [`  (${skipped} earlier lines left out)`] : []),
    ...story
      .slice(skipped)
      .map((line, index) => `${String(skipped + index + 1).padStart(5)}. ${line}`),
  ].join("\n");
}
