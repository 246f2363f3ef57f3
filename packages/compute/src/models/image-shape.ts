import { PsgdError } from "@psgd/core";
import { elementCount } from "../kernels/kernel-call.js";

/**
 * Height, width and channels of samples for a convolutional model: as they are, or a flat sample as a square of one
 * channel.
 * @throws {PsgdError} MODEL_INVALID if it is not one
 */
export function imageShapeOf(inputShape: readonly number[]): [number, number, number] {
  const [height, width, channels] = inputShape;
  if (inputShape.length === 3) return [height!, width!, channels!];
  const side = Math.sqrt(elementCount(inputShape));
  if (inputShape.length === 1 && Number.isInteger(side)) return [side, side, 1];
  throw new PsgdError(
    "MODEL_INVALID",
    `convolutional model: expected images [height, width, channels] or flat squares, got samples of [${inputShape.join()}]; use another \`--model\` for this data set`,
  );
}
