import type { AssignmentRule } from "./assignment.js";
import { duplicateAssignment } from "./duplicate.js";
import { iidAssignment } from "./iid.js";

export type AssignmentName = "iid" | "duplicate";

/** The block assignments by their command-line names. */
export const ASSIGNMENTS = {
  iid: iidAssignment,
  duplicate: duplicateAssignment,
} as const satisfies Record<AssignmentName, AssignmentRule>;
