import { PsgdError } from "@psgd/core";
import { rowSize, type Dataset, type Samples } from "./dataset.js";
import { TRANSFORMS, type TransformName } from "./transforms/registry.js";
import type {
  ParameterRule,
  PreparedData,
  SampleView,
  Transform,
  TransformContext,
} from "./transforms/transform.js";

/** A transform as plain data, for job files and messages: its name, and its parameters beside it. */
export type TransformDescription = { readonly name: TransformName } & Readonly<
  Record<string, string | number>
>;

/** What a job uses that names no transforms. */
export function defaultTransforms(dataset: Dataset): readonly TransformDescription[] {
  if (dataset.task !== "classification") return [{ name: "shuffle" }];
  const isImages = dataset.train.inputs instanceof Uint8Array;
  return [{ name: "shuffle" }, { name: isImages ? "image_cls" : "one_hot" }];
}

/**
 * Checks descriptions that come from a file or the network.
 * @throws {PsgdError} SETTINGS_INVALID naming every fault
 */
export function parseTransforms(value: unknown): readonly TransformDescription[] {
  if (!Array.isArray(value)) {
    throw new PsgdError(
      "SETTINGS_INVALID",
      `transforms: expected a list like [{ "name": "shuffle" }], got ${JSON.stringify(value)}`,
    );
  }
  const faults = value.flatMap((description: unknown, index) =>
    transformFaults(description).map((fault) => `transform ${index}: ${fault}`),
  );
  const names = value.map((description) => (description as TransformDescription | null)?.name);
  const firstNonIid = names.findIndex((name) => SORTING.has(name));
  if (firstNonIid >= 0 && names.lastIndexOf("shuffle") > firstNonIid) {
    faults.push(
      `transforms: expected \`shuffle\` before \`${names[firstNonIid]}\`, got it after; it would mix what that sorts`,
    );
  }
  if (faults.length > 0) throw new PsgdError("SETTINGS_INVALID", faults.join("; "));
  return value as TransformDescription[];
}

/**
 * Applies transforms in the order given. The result depends only on the arguments, so all nodes of a job see the same.
 * @throws {PsgdError} SETTINGS_INVALID if a description is wrong or does not fit the dataset
 */
export function prepareData(
  dataset: Dataset,
  transforms: readonly TransformDescription[],
  context: TransformContext,
): PreparedData {
  const start: PreparedData = {
    dataset,
    train: storedView(dataset, dataset.train),
    test: storedView(dataset, dataset.test),
  };
  return parseTransforms(transforms).reduce((data, { name, ...parameters }) => {
    const transform: Transform = TRANSFORMS[name];
    return transform.apply(data, parameters as Record<string, number>, context);
  }, start);
}

/** Those that undo a `shuffle` before them in part: after them it would undo their work. */
const SORTING: ReadonlySet<string | undefined> = new Set([
  "make_non_iid",
  "true_non_iid",
  "shards",
] satisfies TransformName[]);

/** The samples as they are stored: in their order, bytes as numbers, labels as numbers. */
function storedView(dataset: Dataset, samples: Samples): SampleView {
  const order = Uint32Array.from({ length: samples.count }, (_, row) => row);
  return {
    samples,
    inputSize: rowSize(dataset.inputShape),
    targetSize: dataset.task === "classification" ? 1 : dataset.outputSize,
    byteValues: Float32Array.from({ length: 256 }, (_, byte) => byte),
    oneHot: false,
    order: () => order,
  };
}

function transformFaults(value: unknown): string[] {
  if (typeof value !== "object" || value === null) {
    return [`expected an object with a name, got ${JSON.stringify(value)}`];
  }
  const { name, ...parameters } = value as Record<string, unknown>;
  if (typeof name !== "string" || !Object.hasOwn(TRANSFORMS, name)) {
    const names = Object.keys(TRANSFORMS).join(", ");
    return [`expected a name among ${names}, got ${JSON.stringify(name)}`];
  }
  const rules: Readonly<Record<string, ParameterRule>> =
    TRANSFORMS[name as TransformName].parameters;
  const unknown = Object.keys(parameters).filter((key) => !Object.hasOwn(rules, key));
  return [
    ...unknown.map((key) => `\`${name}\` has no parameter ${JSON.stringify(key)}`),
    ...Object.entries(rules)
      .filter(([key, rule]) => !follows(rule, parameters[key]))
      .map(
        ([key, rule]) =>
          `\`${key}\` of \`${name}\`: expected a ${rule}, got ${JSON.stringify(parameters[key])}`,
      ),
  ];
}

function follows(rule: ParameterRule, value: unknown): boolean {
  if (typeof value !== "number") return false;
  return rule === "whole number from 1"
    ? Number.isSafeInteger(value) && value >= 1
    : value >= 0 && value <= 1;
}
