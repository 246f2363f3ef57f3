import { loadTensorFlow, type Tensor } from "@psgd/compute";
import type { PlanValue } from "@psgd/core";
import { FunctionPlan } from "./function-plan.js";

/**
 * A plan as a class: layers and other tensors are made in the constructor, `forward` is what is recorded. The weights
 * of its layers travel with it.
 *
 * @example
 * class Net extends ModulePlan {
 *   fc = tf.layers.dense({ units: 3 });
 *   forward(x: Tensor): Tensor {
 *     return this.fc.apply(x) as Tensor;
 *   }
 * }
 */
export abstract class ModulePlan extends FunctionPlan {
  constructor() {
    super(new.target.name, (...args: never[]) => this.forward(...(args as Tensor[])));
  }

  override build(...args: readonly PlanValue[]): this {
    // Layers make their weights when they are first called, which is nothing for a plan to do.
    const { tidy, zeros } = loadTensorFlow();
    tidy(() => void this.forward(...args.map(({ shape, dtype }) => zeros([...shape], dtype))));
    return super.build(...args);
  }

  abstract forward(...args: Tensor[]): Tensor | readonly Tensor[];
}
