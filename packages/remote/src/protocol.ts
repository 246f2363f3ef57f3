import { PsgdError } from "@psgd/core";
import type { FunctionPlan } from "./function-plan.js";
import type { PointerPlan } from "./pointer-plan.js";
import type { RemoteWorker } from "./remote-worker.js";
import type { TensorValue } from "./tensor-value.js";

/** A fixed pipeline: plans that follow one another, each on a worker of its own. */
export class Protocol {
  readonly #stages: readonly (readonly [worker: string, plan: FunctionPlan])[];
  #deployed: readonly PointerPlan[] | undefined;

  /** @param stages - in their order: a name for the worker, and its plan, built */
  constructor(stages: readonly (readonly [worker: string, plan: FunctionPlan])[]) {
    this.#stages = stages;
  }

  /**
   * Sends each plan to its worker; the first name met stands for the first worker, and so on.
   * @throws {PsgdError} SETTINGS_INVALID if there are not as many workers as names
   */
  deploy(...workers: readonly RemoteWorker[]): this {
    const names = [...new Set(this.#stages.map(([name]) => name))];
    if (workers.length !== names.length) {
      throw new PsgdError(
        "SETTINGS_INVALID",
        `protocol: expected ${names.length} workers (${names.join(", ")}), got ${workers.length}`,
      );
    }
    this.#deployed = this.#stages.map(([name, plan]) => plan.send(workers[names.indexOf(name)]!));
    return this;
  }

  /** Sends a tensor through all stages. @throws {PsgdError} SETTINGS_INVALID before it was deployed; what a stage throws */
  async run(input: TensorValue): Promise<TensorValue> {
    if (this.#deployed === undefined) {
      throw new PsgdError(
        "SETTINGS_INVALID",
        "protocol: expected it to be deployed, got it before; call deploy first",
      );
    }
    let value = input;
    let result: ReturnType<PointerPlan["run"]> | undefined;
    for (const stage of this.#deployed) {
      // Two stages on one worker hand over in place.
      const isThere = result?.worker === stage.worker;
      if (result !== undefined && !isThere) value = await result.get();
      result = stage.run(isThere ? result! : stage.worker.put(value));
    }
    return result === undefined ? value : result.get();
  }

  toString(): string {
    return `<Protocol ${this.#stages.map(([name, plan]) => `${name}: ${plan.name}`).join(" -> ")}>`;
  }
}
