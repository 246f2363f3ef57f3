import type { BlockAssignment } from "@psgd/core";

/**
 * Bytes that all nodes together send in a step if they send everything in fp32: each block from each of its holders to all
 * who lack it or, with a parameter server, one vector from each node and one back.
 * @param values - that are sent: of the model, or of one tensor
 */
export function fp32BytesPerStep(
  values: number,
  { nodeCount, blockToNodes }: Pick<BlockAssignment, "nodeCount" | "blockToNodes">,
  hasServer: boolean,
): number {
  const vectors = blockToNodes.map((holders) => holders.length * (nodeCount - holders.length));
  const peerToPeer = vectors.reduce((sum, count) => sum + count, 0);
  return 4 * values * (hasServer ? 2 * nodeCount : peerToPeer);
}
