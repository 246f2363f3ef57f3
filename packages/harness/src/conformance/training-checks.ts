import { isPsgdError } from "@psgd/core";
import type { CodecLab } from "./codec-lab.js";
import type { Finding } from "./finding.js";
import { distance } from "./vector-distance.js";

const STEPS = 200;
const LEARNING_RATE = 0.1;
const SIZE = 24;

/** Each block pulls towards a point of its own; the minimum of all is the mean of the points. */
export async function examineConvergence(lab: CodecLab): Promise<Finding> {
  const targets = lab.blocks.map((block) => lab.gaussian(SIZE, 0, block));
  const minimum = lab.sumOfMeans(1, (_, block) => targets[block]!);
  let start: Float32Array | undefined;
  const { models } = await lab.run({
    rounds: STEPS,
    delta: ({ blockId, weights }) => {
      start ??= weights.slice();
      const target = targets[blockId]!;
      return weights.map((value, i) => LEARNING_RATE * (value - target[i]!));
    },
  });
  const way = distance(start!, minimum);
  const left = Math.max(...[...models.values()].map((model) => distance(model, minimum) / way));
  const isThere = left < 0.05;
  return {
    ...{ check: "convergence", seed: lab.subject.seed, story: undefined },
    verdict: isThere ? "ok" : left < 0.5 ? "note" : "wrong",
    number: `${(100 * left).toPrecision(3)} % of the way left`,
    text: `mean of ${lab.blocks.length} quadratics, ${STEPS} steps, learning rate ${LEARNING_RATE}${isThere ? "" : "; it does not come to the minimum"}`,
  };
}

/**
 * Zeros in all blocks of one step, of which nothing must come that is not finite. Then one NaN in one block of one step: in a
 * job the runtime refuses it before the codec sees it; between codecs it may still come up.
 */
export async function examineNotFinite(lab: CodecLab): Promise<Finding> {
  const base = { check: "not finite", seed: lab.subject.seed, story: undefined } as const;
  const bad = 1;
  const zeros = await lab.run({
    rounds: 4,
    delta: ({ round, blockId }) =>
      round === bad ? new Float32Array(SIZE) : lab.gaussian(SIZE, round, blockId),
  });
  const broken = [...zeros.models.values()].filter((model) => !model.every(Number.isFinite));
  if (broken.length > 0)
    return {
      ...base,
      verdict: "wrong",
      number: `${broken.length} of ${zeros.models.size} nodes`,
      text: "a step in which all gradients are 0 makes it NaN or infinite: divide by a length, a scale or a count only where it is not 0",
    };
  try {
    const { results } = await lab.run({
      rounds: 4,
      delta: ({ round, blockId }) => {
        const delta = lab.gaussian(SIZE, round, blockId);
        if (round === bad && blockId === 0) delta[2] = NaN;
        return delta;
      },
    });
    const nodes = [...results.values()];
    const seeing = nodes.filter((rounds) => rounds.some((result) => result.some(Number.isNaN)));
    const lasting = nodes.some((rounds) => rounds.at(-1)!.some(Number.isNaN));
    const stays = lasting && lab.carriesGradients ? "; it stays in what the codec keeps" : "";
    const number = `${seeing.length} of ${nodes.length} nodes see it`;
    if (seeing.length === nodes.length)
      return {
        ...base,
        verdict: stays === "" ? "ok" : "note",
        number,
        text: `every node sees it${stays}`,
      };
    return { ...base, verdict: "note", number, text: "it disappears on the others without a sign" };
  } catch (error) {
    if (!isPsgdError(error)) throw error;
    return { ...base, verdict: "ok", number: "refused", text: error.message.split("; ")[0]! };
  }
}
