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

/** Decides when received data is handed to the codec. */
export interface SyncPolicy {
  readonly name: SyncPolicyName;
  /** @throws {PsgdError} OUT_OF_STEP if the message's step cannot be */
  judge(message: { step: number; from: NodeId }, node: NodeId, position: StepPosition): Verdict;
}

export type SyncPolicyName = "ssgd" | "asgd";

/**
 * Synchronous SGD: a message is handed over while its own step waits, and never in another. Early ones are held; a
 * worker may lead another by `maxLead` steps. The parameter server is not bound to steps: it answers each node in the
 * step of that node's last contribution.
 */
export function synchronousSgd(maxLead: number): SyncPolicy {
  return {
    name: "ssgd",
    judge(message, node, position) {
      const lead = message.step - position.step;
      if (lead < 0) return "late";
      if (lead > maxLead && message.from !== PARAMETER_SERVER) {
        throw new PsgdError(
          "OUT_OF_STEP",
          `message of step ${message.step}: expected at most step ${position.step + maxLead}, got it from ${nodeName(message.from)}; ` +
            `${nodeName(node)} is at step ${position.step}; synchronous SGD allows a lead of ${maxLead}; ` +
            "let the codec wait for its peers, or use `--psgd asgd`",
          { details: { node, from: message.from, step: message.step } },
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
 * The sync policies by their command-line names. With redundancy a step completes without its slowest node, which
 * then may lie far behind: messages for it are held up to the seed's queue length.
 */
export const SYNC_POLICIES: Record<
  SyncPolicyName,
  (options: { redundancy: number }) => SyncPolicy
> = {
  ssgd: ({ redundancy }) => synchronousSgd(redundancy === 1 ? 1 : 256),
  asgd: asynchronousSgd,
};
