import type * as tf from "@tensorflow/tfjs";
import { PsgdError } from "@psgd/core";
import type { TensorFlow } from "../tensorflow.js";

/** Name of the backend that is active while a step is traced. */
export const PLAN_BACKEND = "plan";

/** A TensorFlow.js backend without memory for results: it keeps only tensors that are made from JavaScript values. */
export interface PlanBackend extends tf.KernelBackend {
  /** A data id for a traced value, which cannot be read. */
  newDataId(): object;
}

/**
 * Makes the backend of a trace.
 *
 * @param onWrite - called when a tensor is made from JavaScript values, or from numbers drawn in JavaScript
 * @param where - the layer at hand, for messages
 */
export function createPlanBackend(
  tensorflow: TensorFlow,
  onWrite: (dataId: object, values: tf.BackendValues) => void,
  where: () => string,
): PlanBackend {
  const written = new WeakMap<object, tf.BackendValues>();
  const references = new WeakMap<object, number>();
  let dataIdCount = 0;

  class TracingBackend extends tensorflow.KernelBackend implements PlanBackend {
    newDataId(): object {
      const dataId = {};
      references.set(dataId, 1);
      dataIdCount++;
      return dataId;
    }

    override write(values: tf.BackendValues): object {
      const dataId = this.newDataId();
      onWrite(dataId, values);
      written.set(dataId, values);
      return dataId;
    }

    override move(
      dataId: object,
      values: tf.BackendValues,
      _shape: number[],
      _dtype: tf.DataType,
      refCount: number,
    ): void {
      written.set(dataId, values);
      references.set(dataId, refCount);
      dataIdCount++;
    }

    override readSync(dataId: object): tf.BackendValues {
      const values = written.get(dataId);
      if (values === undefined) {
        throw new PsgdError(
          "PLAN_INVALID",
          `traced value: expected tensor operations only, got a read from JavaScript${readingLine()}; ${where()}; ` +
            "a plan has no values yet while it is traced: use operations such as tf.where " +
            "or cond instead of dataSync(), data() or print()",
        );
      }
      return values;
    }

    override async read(dataId: object): Promise<tf.BackendValues> {
      return this.readSync(dataId);
    }

    override incRef(dataId: object): void {
      references.set(dataId, this.refCount(dataId) + 1);
    }

    override refCount(dataId: object): number {
      return references.get(dataId) ?? 0;
    }

    override disposeData(dataId: object, force = false): boolean {
      const left = this.refCount(dataId) - 1;
      references.set(dataId, left);
      if (left > 0 && !force) return false;
      if (references.delete(dataId)) dataIdCount--;
      written.delete(dataId);
      return true;
    }

    override numDataIds(): number {
      return dataIdCount;
    }

    override memory(): { unreliable: boolean } {
      return { unreliable: true };
    }

    override floatPrecision(): 32 {
      return 32;
    }

    override dispose(): void {}
  }
  return new TracingBackend();
}

/** Where the program outside of TensorFlow.js asks for the value, as ` at file:line:column`. */
function readingLine(): string {
  const lines = new Error().stack?.split("\n").slice(1) ?? [];
  const line = lines.find((text) => !/@tensorflow|tfjs-|node:|plan-backend\.[jt]s/.test(text));
  const [, place] = /\(?([^\s()]+:\d+:\d+)\)?$/.exec(line ?? "") ?? [];
  return place === undefined ? "" : ` at ${place.replace(/^file:\/\//, "")}`;
}
