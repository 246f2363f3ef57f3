import { isPsgdError, type CodecClass, type CodecParameters } from "@psgd/core";
import type { SyncPolicyName } from "@psgd/sgd";
import { CodecLab } from "./codec-lab.js";
import { examineDigits } from "./digits-check.js";
import { CHECKS, type CheckName, type Finding } from "./finding.js";
import { examineBytes, examineInputs, examineMemory, examineState } from "./keeping-checks.js";
import { examineMean } from "./mean-checks.js";
import { examineNetwork } from "./network-check.js";
import { examineRuns } from "./run-checks.js";
import { examineConvergence, examineNotFinite } from "./training-checks.js";

/** What to examine. */
export interface CodecExamination {
  readonly codec: CodecClass;
  /** Instead of the server that the codec declares. */
  readonly serverCodec?: CodecClass;
  /** @defaultValue "ssgd" */
  readonly sync?: SyncPolicyName;
  /** @defaultValue 3 */
  readonly nodeCount?: number;
  /** @defaultValue 1 */
  readonly redundancy?: number;
  readonly parameters?: CodecParameters;
  /** Decides inputs and orders. @defaultValue 1 */
  readonly seed?: number;
  /** Seeds in the simulated cluster, each with other faults. @defaultValue 500 */
  readonly seedCount?: number;
  /** Real milliseconds that one call may take; the simulated cluster has a time of its own. @defaultValue 5000 */
  readonly callTimeoutMs?: number;
}

/**
 * Runs a codec as its author wrote it, star or peer to peer, and reports what it does, each with a number and a
 * verdict: one finding for each entry of `CHECKS`.
 *
 * @throws {PsgdError} PAIRING_INVALID, ASSIGNMENT_INVALID for what cannot be run; what a codec does wrong is a finding
 */
export async function examineCodec(examination: CodecExamination): Promise<readonly Finding[]> {
  const lab = new CodecLab({
    codec: examination.codec,
    serverCodec: examination.serverCodec,
    sync: examination.sync ?? "ssgd",
    nodeCount: examination.nodeCount ?? 3,
    redundancy: examination.redundancy ?? 1,
    parameters: examination.parameters ?? {},
    seed: examination.seed ?? 1,
    callTimeoutMs: examination.callTimeoutMs ?? 5000,
  });
  const runs = await examineRuns(lab);
  const findings = [...runs.findings];
  const isAlike = runs.agreesAlways;
  if (runs.hasResults) {
    for (const [check, examine] of DEEPER_CHECKS)
      findings.push(...(await attempt(check, lab, () => examine(lab, findings))));
  }
  // A codec that leaves nodes alike must do so in a bad network, too; so must one that does not get there.
  const isExpectedAlike = isAlike || (!runs.hasResults && lab.carriesGradients);
  const promise = isExpectedAlike && lab.subject.sync === "ssgd" ? "agreement" : "none";
  findings.push(
    await examineNetwork(lab.subject, { seedCount: examination.seedCount ?? 500, promise }),
  );
  return (Object.keys(CHECKS) as CheckName[]).map((check) => {
    const found = findings.find((finding) => finding.check === check) ?? skipped(check, lab);
    const isMatterOfTaste = lab.subject.sync !== "ssgd" && SYNCHRONOUS.includes(check);
    return isMatterOfTaste && found.verdict === "wrong" ? { ...found, verdict: "note" } : found;
  });
}

type Examine = (lab: CodecLab, before: readonly Finding[]) => Promise<Finding | Finding[]>;

/** What is examined of a codec that comes to its results, by the check that stands for it. */
const DEEPER_CHECKS: readonly (readonly [CheckName, Examine])[] = [
  ["mean", examineMean],
  ["convergence", examineConvergence],
  ["digits", examineDigits],
  ["not finite", examineNotFinite],
  ["state", (lab, before) => examineState(lab, isByChance(before))],
  ["inputs", examineInputs],
  ["memory", examineMemory],
  ["bytes", examineBytes],
];

/** A codec may fail with other inputs, sizes or rounds only. */
async function attempt(
  check: CheckName,
  lab: CodecLab,
  examine: () => Promise<Finding | Finding[]>,
): Promise<Finding[]> {
  try {
    return [await examine()].flat();
  } catch (error) {
    if (!isPsgdError(error)) throw error;
    const base = { check, seed: lab.subject.seed, story: undefined };
    return [{ ...base, verdict: "wrong", number: "fails", text: error.message }];
  }
}

/** What an asynchronous codec may do in its own way: each node has a model of its own, and steps have no borders. */
const SYNCHRONOUS: readonly CheckName[] = [
  "mean",
  "contraction",
  "feedback",
  "convergence",
  "digits",
  "state",
];

function isByChance(findings: readonly Finding[]): boolean {
  return findings.some(({ check, number }) => check === "bias" && number.includes("±"));
}

function skipped(check: CheckName, lab: CodecLab): Finding {
  return {
    ...{ check, verdict: "skipped", number: "", seed: lab.subject.seed, story: undefined },
    text: "there is no result to look at",
  };
}
