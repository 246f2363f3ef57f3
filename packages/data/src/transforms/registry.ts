import { imageCls } from "./image-cls.js";
import { makeNonIid } from "./make-non-iid.js";
import { oneHot } from "./one-hot.js";
import { shards } from "./shards.js";
import { shuffle } from "./shuffle.js";
import type { Transform } from "./transform.js";
import { trueNonIid } from "./true-non-iid.js";

export type TransformName =
  "shuffle" | "image_cls" | "one_hot" | "make_non_iid" | "true_non_iid" | "shards";

/** The transforms by the names that job files use. */
export const TRANSFORMS = {
  shuffle,
  image_cls: imageCls,
  one_hot: oneHot,
  make_non_iid: makeNonIid,
  true_non_iid: trueNonIid,
  shards,
} as const satisfies Record<TransformName, Transform>;
