import { layoutOf, type Plan } from "@psgd/core";

/** The smallest plan: `doubled` is x + x. */
export const DOUBLE: Plan = {
  format: "psgd-plan",
  version: 2,
  name: "double",
  values: [
    { shape: [1], dtype: "float32" },
    { shape: [1], dtype: "float32" },
  ],
  inputs: [{ name: "x", value: 0 }],
  layout: layoutOf([]),
  parameters: [],
  state: { layout: layoutOf([]), values: [], next: [] },
  noise: [],
  constants: [],
  nodes: [{ kernel: "Add", inputs: [0, 0], attributes: {}, outputs: [1] }],
  outputs: [{ name: "doubled", value: 1 }],
  gradients: [],
};
