import { linear } from "./linear.js";
import { mlp } from "./mlp.js";
import type { ModelBuilder } from "./model-builder.js";

/** The models that jobs can name. */
export const MODELS = { linear, mlp } as const satisfies Record<string, ModelBuilder>;

export type ModelName = keyof typeof MODELS;
