export type { Dataset, DatasetContent, Samples, Task } from "./dataset.js";
export { createDataset } from "./create-dataset.js";
export { datasetToBytes } from "./dataset-to-bytes.js";
export { datasetFromBytes } from "./dataset-from-bytes.js";
export { loadDataset, requireDataset } from "./load-dataset.js";
export type { DatasetSource, Download, DownloadProgress, LoadOptions } from "./sources/source.js";
export { DATASETS, type DatasetName } from "./sources/registry.js";
export { generateDigits } from "./sources/digits.js";
export { TRANSFORMS, type TransformName } from "./transforms/registry.js";
export type {
  ParameterRule,
  PreparedData,
  SampleView,
  Transform,
  TransformContext,
} from "./transforms/transform.js";
export {
  defaultTransforms,
  parseTransforms,
  prepareData,
  type TransformDescription,
} from "./prepare-data.js";
export { BlockSampler } from "./block-sampler.js";
export { fillBatch, type BatchBuffers } from "./fill-batch.js";
