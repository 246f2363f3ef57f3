import {
  ASSIGNMENTS,
  PsgdError,
  SILENT,
  createSettings,
  isPsgdError,
  layoutOf,
  nodeName,
  type AssignmentRule,
  type CodecClass,
  type CodecParameters,
  type Logger,
  type NodeId,
  type TensorLayout,
} from "@psgd/core";
import { OPTIMIZERS, resolvePairing, type SyncPolicyName } from "@psgd/sgd";
import { HarnessRun } from "./harness-run.js";
import type { Agreement } from "./result-checks.js";

/** What to run; the defaults are those of the seed's test scripts. */
export interface CodecHarnessOptions {
  readonly codec: CodecClass;
  /** Instead of the server that the codec declares. */
  readonly serverCodec?: CodecClass;
  /** @defaultValue 4 */
  readonly nodeCount?: number;
  /** @defaultValue 1 */
  readonly redundancy?: number;
  /** @defaultValue `ASSIGNMENTS.iid` */
  readonly assignment?: AssignmentRule;
  /** @defaultValue 10 */
  readonly rounds?: number;
  /** @defaultValue "ssgd" */
  readonly sync?: SyncPolicyName;
  /** @defaultValue two small tensors */
  readonly layout?: TensorLayout;
  /** One codec for each tensor. @defaultValue false */
  readonly perTensor?: boolean;
  readonly parameters?: CodecParameters;
  /** Decides inputs and orders: the same seed, the same run. @defaultValue 1 */
  readonly seed?: number;
  /** Orders of computing and delivering that are tried. @defaultValue 1 */
  readonly schedules?: number;
  /**
   * Also demanded between schedules.
   * @defaultValue with ssgd "every-round" for codecs that carry gradients peer to peer, else "last-round"; "none" with asgd
   */
  readonly agreement?: Agreement;
  /**
   * How far a result may be from the plain mean of all blocks, relative to the mean's length; `Infinity`: not checked.
   * @defaultValue 1e-6 for codecs that carry gradients peer to peer with ssgd, else `Infinity`
   */
  readonly tolerance?: number;
  /** Real milliseconds that one call of a codec may take. @defaultValue 2000 */
  readonly callTimeoutMs?: number;
  /** Told the progress in the seed's words. */
  readonly log?: Logger;
}

/** What was seen in a run that found nothing wrong. */
export interface HarnessReport {
  readonly seed: number;
  readonly nodeCount: number;
  readonly rounds: number;
  readonly schedules: number;
  /** Messages sent in the first schedule. */
  readonly messageCount: number;
  /** Bytes of these, packed. */
  readonly messageBytes: number;
  /** Messages dropped because their step was complete, in the first schedule. */
  readonly lateCount: number;
  /** Greatest staleness of a message, over all schedules. */
  readonly maxStaleness: number;
}

const SMALL = layoutOf([
  { name: "w", shape: [5, 3] },
  { name: "b", shape: [4] },
]);

/**
 * Runs a codec on some nodes in this process, through the same actor, exchange and sync policy as in production, over
 * a network that packs every message and delivers in a seeded order. Inputs are gaussian. Time is virtual: a deadlock
 * is found at once, after each waiting node had its `onSyncTimeout`.
 *
 * @throws {PsgdError} whatever the codec is guilty of: CODEC_THREW, CODEC_TIMEOUT, CODEC_INVALID_RETURN,
 *   CODEC_INVALID_TARGET, PAYLOAD_UNPACKABLE, OUT_OF_STEP; SYNC_TIMEOUT with who waits for what; CODEC_WRONG_RESULT,
 *   NOT_FINITE; and PAIRING_INVALID, ASSIGNMENT_INVALID, SETTINGS_INVALID for what cannot be run. The text ends with
 *   the seed.
 */
export async function runCodecHarness(options: CodecHarnessOptions): Promise<HarnessReport> {
  const seed = options.seed ?? 1;
  const sync = options.sync ?? "ssgd";
  const schedules = options.schedules ?? 1;
  const rounds = options.rounds ?? 10;
  const nodeCount = options.nodeCount ?? 4;
  for (const [name, value] of Object.entries({ rounds, schedules })) requirePositive(name, value);

  const { optimizer, server } = resolvePairing(options);
  const assignment = (options.assignment ?? ASSIGNMENTS.iid)({
    nodeCount,
    redundancy: options.redundancy ?? 1,
  });
  const isPlainMean =
    options.codec.carries === "gradients" && server === undefined && sync === "ssgd";
  const plan = {
    codec: options.codec,
    server,
    rule: OPTIMIZERS[optimizer],
    settings: createSettings({
      assignment,
      batchSize: 64,
      stepCount: rounds,
      parameters: options.parameters ?? {},
      seed,
    }),
    sync,
    layout: options.layout ?? SMALL,
    perTensor: options.perTensor ?? false,
    seed,
    agreement:
      options.agreement ?? (sync !== "ssgd" ? "none" : isPlainMean ? "every-round" : "last-round"),
    tolerance: options.tolerance ?? (isPlainMean ? 1e-6 : Infinity),
    callTimeoutMs: options.callTimeoutMs ?? 2000,
  };
  const log = options.log ?? SILENT;

  const runs: HarnessRun[] = [];
  for (let schedule = 0; schedule < schedules; schedule++) {
    const run = new HarnessRun(plan, schedule, schedule === 0 ? log : SILENT);
    try {
      await run.complete();
      if (runs[0] !== undefined) requireSameRuns(runs[0], run);
    } catch (error) {
      throw withSeed(error, seed, schedule);
    }
    if (schedule > 0) log.info(`Schedule ${schedule + 1}/${schedules} complete`);
    runs.push(run);
  }
  const [first] = runs;
  return {
    seed,
    nodeCount,
    rounds,
    schedules,
    messageCount: first!.messageCount,
    messageBytes: first!.messageBytes,
    lateCount: first!.lateCount,
    maxStaleness: Math.max(...runs.map((run) => run.maxStaleness)),
  };
}

/** @throws {PsgdError} CODEC_WRONG_RESULT if the order of events shows in the results */
function requireSameRuns(first: HarnessRun, run: HarnessRun): void {
  for (const [place, digest] of first.digests) {
    if (run.digests.get(place) === digest) continue;
    const { node, round } = JSON.parse(place) as { node: NodeId; round: number };
    throw new PsgdError(
      "CODEC_WRONG_RESULT",
      `result of round ${round}: expected the same bits in whatever order messages arrive, got others; codec ${first.codecName}, ${nodeName(node)}; ` +
        "sum in the order of ids, not of arrival (`meanOf`), and keep the blocks of different rounds apart",
      { details: { node, step: round } },
    );
  }
}

function requirePositive(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 1) return;
  throw new PsgdError(
    "SETTINGS_INVALID",
    `${name} of the harness: expected a whole number from 1, got ${value}`,
  );
}

function withSeed(error: unknown, seed: number, schedule: number): unknown {
  if (!isPsgdError(error)) return error;
  const text = error.message.slice(error.code.length + 2);
  return new PsgdError(error.code, `${text}; seed ${seed}, schedule ${schedule}`, {
    details: { ...error.details, seed, schedule },
    cause: error.cause ?? error,
  });
}
