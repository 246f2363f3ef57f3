import { PsgdError, type Executable, type GlobalSettings, type Logger } from "@psgd/core";
import { datasetFromBytes, prepareData, type SampleView } from "@psgd/data";
import type { MiscPackage, NodeAssignment, WeightsAndLayersPackage } from "../job.js";
import { packageKey } from "../worker-store.js";
import type { NodeWorld } from "./node-world.js";

/** What it is made of. */
export interface MaterialParts {
  readonly assignment: NodeAssignment;
  readonly world: NodeWorld;
  readonly settings: GlobalSettings;
  readonly model: WeightsAndLayersPackage;
  readonly misc: MiscPackage;
  readonly seed: number;
  readonly log: Logger;
}

/** What training needs and does not change: alike for all nodes of a job on one machine. */
export interface TrainingMaterial extends Disposable {
  readonly train: Executable;
  readonly evaluate: Executable;
  readonly trainView: SampleView;
  readonly testView: SampleView;
}

/** Nodes are seldom more epochs apart; each order is as long as the training data. */
const KEPT_EPOCHS = 3;

/** Reads the data and compiles the plans. */
export async function prepareMaterial(parts: MaterialParts): Promise<TrainingMaterial> {
  const { assignment, world, settings, model, misc } = parts;
  const bytes = await world.store.read(packageKey(assignment.packages.data_sample_package));
  if (bytes === undefined)
    throw new PsgdError(
      "STORE_FAILED",
      "data_sample_package: expected it in the worker's cache, got nothing",
    );
  const data = prepareData(datasetFromBytes(bytes), misc.transforms, {
    seed: parts.seed,
    blockCount: settings.blockCount,
    batchSize: settings.batchSize,
  });
  const engine = world.engine(misc.engine, parts.log);
  const train = await engine.compile(model.train);
  const evaluate = await engine.compile(model.evaluate);
  return {
    train,
    evaluate,
    trainView: withKeptOrders(data.train),
    testView: data.test,
    [Symbol.dispose]: () => {
      train.dispose();
      evaluate.dispose();
    },
  };
}

/** Of the nodes that share a view, the first one of an epoch makes its order. */
function withKeptOrders(view: SampleView): SampleView {
  const kept = new Map<number, Uint32Array>();
  return {
    ...view,
    order: (epoch) => {
      let order = kept.get(epoch);
      if (order !== undefined) return order;
      order = view.order(epoch);
      const [oldest] = kept.keys();
      if (kept.size === KEPT_EPOCHS) kept.delete(oldest!);
      kept.set(epoch, order);
      return order;
    },
  };
}
