import { describeCodec } from "@psgd/harness";
import { expect, it } from "vitest";
import { FedAvgClient } from "./fedavg.js";
import { FedAvgMClient } from "./fedavgm.js";
import { federatedRounds } from "./testing/federation.js";

it.each([true, false])("takes the server's steps by the formula, nesterov %s", (nesterov) => {
  let v = [0, 0, 0, 0, 0];
  const parameters = { momentum: 0.8, server_rate: 0.3, nesterov };
  const { models, expected } = federatedRounds(FedAvgMClient, parameters, (mean, current) => {
    const delta = mean.map((value, i) => value - current[i]);
    v = v.map((value, i) => 0.8 * value + delta[i]);
    return current.map((value, i) => value + 0.3 * (nesterov ? 0.8 * v[i] + delta[i] : v[i]));
  });
  for (const [round, model] of models.entries())
    for (const [i, value] of model.entries())
      expect(value, `round ${round}, value ${i}`).toBeCloseTo(expected[round][i], 5);
});

it("is federated averaging without momentum", () => {
  const average = (mean: readonly number[]): readonly number[] => mean;
  const { models } = federatedRounds(FedAvgMClient, { momentum: 0 }, average);
  const plain = federatedRounds(FedAvgClient, {}, average);
  for (const [round, model] of models.entries())
    for (const [i, value] of model.entries())
      // w + (mean − w) is rounded once more than the mean.
      expect(Math.abs(value - plain.models[round][i])).toBeLessThan(1e-6);
});

it.each(["momentum"])("refuses a %s of 1", (name) => {
  expect(() => federatedRounds(FedAvgMClient, { [name]: 1 }, (mean) => mean)).toThrow(
    `parameter \`${name}\`: expected a number from 0, below 1, got 1`,
  );
});

describeCodec("fedavgm.FedAvgMClient", FedAvgMClient, {
  parameters: { local_steps: 2, momentum: 0.5, server_rate: 0.5 },
  seedCount: 60,
});
