import type { NodeId } from "@psgd/core";
import { nodeToken } from "./job.js";

/** Where a worker keeps what: the layout of its store. */
export const PACKAGES = "packages/";

export function packageKey(sha256: string): string {
  return `${PACKAGES}${sha256}`;
}

/** Directory of one node of one job. */
export function nodeKey(jobId: string, nodeId: NodeId): string {
  return `jobs/${jobId}/${nodeToken(nodeId)}`;
}

/** Directory of the files that go back to the submitter. */
export function resultKey(jobId: string, nodeId: NodeId): string {
  return `${nodeKey(jobId, nodeId)}/files`;
}

export function recordKey(jobId: string, nodeId: NodeId): string {
  return `${nodeKey(jobId, nodeId)}/record`;
}
