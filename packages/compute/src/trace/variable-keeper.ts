import type * as tf from "@tensorflow/tfjs";
import type { TensorFlow } from "../tensorflow.js";
import { sameData } from "./same-data.js";

/** Watches all variables of the process during a trace, which must leave them as they were. */
export class VariableKeeper {
  readonly #registered: Readonly<Record<string, tf.Variable>>;
  readonly #before: { readonly variable: tf.Variable; readonly value: tf.Tensor }[];
  readonly #tensorflow: TensorFlow;
  readonly #names: ReadonlySet<string>;

  constructor(tensorflow: TensorFlow) {
    this.#tensorflow = tensorflow;
    this.#registered = tensorflow.engine().state.registeredVariables;
    this.#before = [];
    this.#names = new Set(Object.keys(this.#registered));
    for (const variable of Object.values(this.#registered)) this.keep(variable);
  }

  /** Watches one more, with the value it has now. */
  keep(variable: tf.Variable): void {
    const value = sameData(this.#tensorflow, variable);
    this.#before.push({ variable, value: this.#tensorflow.keep(value) });
  }

  /** What has another value than before. */
  assigned(): tf.Variable[] {
    return this.#before
      .filter(({ variable, value }) => variable.dataId !== value.dataId)
      .map(({ variable }) => variable);
  }

  /** What there was not before. */
  created(): tf.Variable[] {
    return Object.values(this.#registered).filter(({ name }) => !this.#names.has(name));
  }

  /** Gives the variables their values back; what was created stays. */
  restore(): void {
    const engine = this.#tensorflow.engine();
    for (const { variable, value } of this.#before) {
      if (variable.dataId === value.dataId) continue;
      variable.assign(value);
      // The engine counts the reference where it computes now, not where the data is.
      const { backend } = engine.state.tensorInfo.get(value.dataId)!;
      if (backend !== engine.backend) backend.incRef(value.dataId);
    }
  }

  release(): void {
    for (const { value } of this.#before) value.dispose();
  }
}
