import { ASSIGNMENTS, type AssignmentName } from "@psgd/core";
import { describeAssignment } from "@psgd/harness";

/** C(n, r) by Pascal's rule. */
const choose = (n: number, r: number): number =>
  r === 0 || r === n ? 1 : choose(n - 1, r - 1) + choose(n - 1, r);

const BLOCK_COUNTS: Record<AssignmentName, (n: number, r: number) => number | undefined> = {
  iid: choose,
  duplicate: (n, r) => (n % r === 0 ? n / r : undefined),
};

for (const name of Object.keys(ASSIGNMENTS) as AssignmentName[]) {
  describeAssignment(name, ASSIGNMENTS[name], BLOCK_COUNTS[name]);
}
