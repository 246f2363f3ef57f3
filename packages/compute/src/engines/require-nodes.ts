import { PsgdError, type Plan, type PlanNode } from "@psgd/core";

/**
 * Refuses a plan for the first node, of those within nodes too, that an engine cannot run as the others do.
 * @param faultOf - why not, as the end of a sentence; undefined if it can
 * @throws {PsgdError} PLAN_INVALID
 */
export function requireNodes(
  plan: Plan,
  engine: string,
  faultOf: (node: PlanNode) => string | undefined,
): void {
  const examine = (nodes: readonly PlanNode[]): void => {
    for (const node of nodes) {
      const fault = faultOf(node);
      if (fault !== undefined) {
        throw new PsgdError(
          "PLAN_INVALID",
          `plan \`${plan.name}\`: expected kernels that the ${engine} engine has, got ${node.kernel} ${fault}; use the onnx engine`,
        );
      }
      for (const body of node.bodies ?? []) examine(body.nodes);
    }
  };
  examine(plan.nodes);
}
