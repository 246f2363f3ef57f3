import { PsgdError, nodeName, type NodeId } from "@psgd/core";

/** What is said of a node whose event loop has had no turn for too long. */
export function stuckNodeError(nodeId: NodeId, timeoutMs: number): PsgdError {
  return new PsgdError(
    "CODEC_TIMEOUT",
    `event loop: expected a turn within ${timeoutMs} ms, got none; ${nodeName(nodeId)}; ` +
      "a method of the codec, or one training step, does not return; look for an endless loop, or raise `--codec-timeout`",
    { details: { node: nodeId } },
  );
}
