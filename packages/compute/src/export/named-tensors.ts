import { layoutOf, type TensorLayout } from "@psgd/core";

/** Tensors with their names. */
export interface NamedTensors {
  readonly layout: TensorLayout;
  /** Flat as in `layout`. */
  readonly weights: Float32Array;
}

/** All tensors of both, the first ones first. */
export function joinTensors(first: NamedTensors, second: NamedTensors): NamedTensors {
  const weights = new Float32Array(first.weights.length + second.weights.length);
  weights.set(first.weights);
  weights.set(second.weights, first.weights.length);
  return { layout: layoutOf([...first.layout.tensors, ...second.layout.tensors]), weights };
}
