import { PARAMETER_SERVER, PsgdError, nodeName, type NodeId } from "@psgd/core";

/** Where a node is: the step it works on, and whether it waits for that step's result. */
export interface StepPosition {
  readonly step: number;
  readonly isWaiting: boolean;
}

/**
 * What becomes of a message: handed to the codec now, kept until its step waits, or dropped because its step is
 * complete. What is dropped is counted.
 */
export type Verdict = "deliver" | "hold" | "late";

/** What a policy is told of a message. */
export interface JudgedMessage {
  readonly step: number;
  readonly from: NodeId;
  /** Steps after the receiver's that its sender has sent anything for, this one included. */
  readonly stepsAhead: number;
}

/** Decides when received data is handed to the codec. */
export interface SyncPolicy {
  readonly name: SyncPolicyName;
  /** @throws {PsgdError} OUT_OF_STEP if the message's step cannot be */
  judge(message: JudgedMessage, node: NodeId, position: StepPosition): Verdict;
  /**
   * How many steps a worker may be ahead of the slowest when it begins one; it waits until the others have come so far.
   * `undefined`: nobody keeps count.
   */
  readonly maxLead?: number;
}

export type SyncPolicyName = "ssgd" | "asgd" | "ssp";

/** Steps between the first and the last worker under `ssp` where nobody says otherwise. */
export const DEFAULT_STALENESS = 3;

/** What the policies are made from. */
export interface SyncPolicyOptions {
  /** Workers. */
  readonly nodeCount: number;
  readonly redundancy: number;
  /** Of `ssp`: steps that a worker may be ahead of the slowest. */
  readonly staleness: number;
}

/**
 * Synchronous SGD: a message is handed over while its own step waits, and never in another. Early ones are held; a
 * worker may send another messages of `maxLead` steps that the other has not come to. Steps without messages between the
 * two do not count: nodes that train by themselves for a while need not be in step. The parameter server is not bound to steps: it answers each node in the
 * step of that node's last contribution.
 */
export function synchronousSgd(maxLead: number): SyncPolicy {
  return {
    name: "ssgd",
    judge(message, node, position) {
      const lead = message.step - position.step;
      if (lead < 0) return "late";
      if (message.stepsAhead > maxLead && message.from !== PARAMETER_SERVER) {
        throw outOfStep(
          `message of step ${message.step}: expected messages of at most ${maxLead} steps ahead, got it from ${nodeName(message.from)}; ` +
            `${nodeName(node)} is at step ${position.step}; these are of ${message.stepsAhead}`,
          message,
          node,
        );
      }
      return lead === 0 && position.isWaiting ? "deliver" : "hold";
    },
  };
}

/** Asynchronous SGD (HogWild style): every message is handed over on arrival. */
export function asynchronousSgd(): SyncPolicy {
  return { name: "asgd", judge: () => "deliver" };
}

/**
 * Stale synchronous parallel (Ho et al. 2013, "More effective distributed ML via a stale synchronous parallel parameter
 * server", section 3): every message is handed over on arrival, but no worker begins a step while another is more than
 * `staleness` steps behind. With 0 all workers begin each step together.
 */
export function staleSynchronous(staleness: number): SyncPolicy {
  return {
    name: "ssp",
    maxLead: staleness,
    judge(message, node, position) {
      // Between two steps this node is not yet counted as being in the next one.
      const lead = message.step - position.step;
      if (lead > staleness + 1 && message.from !== PARAMETER_SERVER)
        throw outOfStep(
          `message of step ${message.step}: expected at most step ${position.step + staleness + 1}, got it from ${nodeName(message.from)}; ` +
            `${nodeName(node)} is at step ${position.step}, with a staleness of ${staleness}`,
          message,
          node,
        );
      return "deliver";
    },
  };
}

function outOfStep(what: string, message: JudgedMessage, node: NodeId): PsgdError {
  return new PsgdError(
    "OUT_OF_STEP",
    `${what}; let the codec wait for its peers, or use \`--psgd asgd\``,
    { details: { node, from: message.from, step: message.step } },
  );
}

/**
 * The sync policies by their command-line names. Who waits for others, and they for others, round all n nodes, is at most
 * n − 1 steps ahead of any; pairs that wait for each other are one apart. With redundancy a step completes without its
 * slowest node, which then may lie far behind: messages for it are held up to the seed's queue length.
 */
export const SYNC_POLICIES: Record<SyncPolicyName, (options: SyncPolicyOptions) => SyncPolicy> = {
  ssgd: ({ nodeCount, redundancy }) =>
    synchronousSgd(redundancy === 1 ? Math.max(1, nodeCount - 1) : 256),
  asgd: asynchronousSgd,
  ssp: ({ staleness }) => staleSynchronous(staleness),
};
