/** Identity of one participant of a job: workers are 0 … nodeCount − 1. */
export type NodeId = number;

/** Identity of one block: a fixed part of a batch, computed by one or more nodes. */
export type BlockId = number;

/** Node id of the parameter server. */
export const PARAMETER_SERVER: NodeId = -2;

/** Node id of the process that submitted the job. */
export const SUBMITTER: NodeId = -1;

/** Says a node id the way messages print it. */
export function nodeName(node: NodeId): string {
  if (node === PARAMETER_SERVER) return "parameter server";
  return node === SUBMITTER ? "submitter" : `node ${node}`;
}
