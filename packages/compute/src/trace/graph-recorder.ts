import type { PlanArray, PlanBody, PlanNode, PlanValue } from "@psgd/core";

/** A graph in the making: that of the plan, or the body of a node. Values are numbered across all graphs of a trace. */
export class GraphRecorder {
  readonly parent: GraphRecorder | undefined;
  readonly inputs: number[] = [];
  readonly nodes: PlanNode[] = [];
  readonly constants: { value: number; data: PlanArray }[] = [];
  /** Constants by content, so that each is kept once. */
  readonly constantIds = new Map<string, number>();
  /** By value of an enclosing graph: the input of this one that stands for it. */
  readonly captures = new Map<number, number>();

  constructor(parent?: GraphRecorder) {
    this.parent = parent;
  }

  /** Whether values of `graph` can be used here. */
  isWithin(graph: GraphRecorder): boolean {
    return this === graph || (this.parent?.isWithin(graph) ?? false);
  }
}

/** What a graph needs to compute its outputs, with values numbered from 0 in order of definition. */
export interface FinishedGraph {
  readonly body: PlanBody;
  /** Values of enclosing graphs, by the inputs that follow `inputs`. */
  readonly captured: readonly number[];
  readonly renumber: (id: number) => number;
}

/**
 * Leaves out what no output needs.
 *
 * @param values - all values of the trace
 * @param defined - values that stay whether used or not, before the captured ones
 * @param outputs - values to keep, of this graph
 */
export function finishGraph(
  graph: GraphRecorder,
  values: readonly PlanValue[],
  defined: readonly number[],
  outputs: readonly number[],
): FinishedGraph {
  const isLive = new Set<number>(outputs);
  const nodes: PlanNode[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((id) => isLive.has(id))) continue;
    for (const id of node.inputs) if (id !== null) isLive.add(id);
    nodes.push(node);
  }
  nodes.reverse();
  const constants = graph.constants.filter(({ value }) => isLive.has(value));
  const captures = [...graph.captures].filter(([, inner]) => isLive.has(inner));
  const inputs = [...defined, ...captures.map(([, inner]) => inner)];
  const order = [
    ...inputs,
    ...constants.map(({ value }) => value),
    ...nodes.flatMap((node) => node.outputs),
  ];
  const places = new Map(order.map((id, index) => [id, index]));
  const renumber = (id: number): number => places.get(id)!;
  return {
    renumber,
    captured: captures.map(([outer]) => outer),
    body: {
      values: order.map((id) => values[id]!),
      inputs: inputs.map(renumber),
      constants: constants.map(({ value, data }) => ({ value: renumber(value), data })),
      nodes: nodes.map((node) => ({
        ...node,
        inputs: node.inputs.map((id) => (id === null ? null : renumber(id))),
        outputs: node.outputs.map(renumber),
      })),
      outputs: outputs.map(renumber),
    },
  };
}
