import { describeCodec } from "@psgd/harness";
import { expect, it } from "vitest";
import { FedAdagradClient } from "./fedadagrad.js";
import { federatedRounds } from "./testing/federation.js";

it("takes the server's steps by the formula of Algorithm 2", () => {
  const m = [0, 0, 0, 0, 0];
  const v = [0, 0, 0, 0, 0];
  const parameters = { server_rate: 0.3, tau: 0.01, beta1: 0.8 };
  const { models, expected } = federatedRounds(FedAdagradClient, parameters, (mean, current) =>
    current.map((value, i) => {
      const d = mean[i] - value;
      m[i] = 0.8 * m[i] + 0.2 * d;
      v[i] = v[i] + d * d;
      return value + (0.3 * m[i]) / (Math.sqrt(v[i]) + 0.01);
    }),
  );
  for (const [round, model] of models.entries())
    for (const [i, value] of model.entries())
      expect(value, `round ${round}, value ${i}`).toBeCloseTo(expected[round][i], 5);
});

it("has no momentum unless told otherwise", () => {
  const v = [0, 0, 0, 0, 0];
  const { models, expected } = federatedRounds(FedAdagradClient, {}, (mean, current) =>
    current.map((value, i) => {
      const d = mean[i] - value;
      v[i] += d * d;
      return value + (0.1 * d) / (Math.sqrt(v[i]) + 0.001);
    }),
  );
  for (const [round, model] of models.entries())
    for (const [i, value] of model.entries())
      expect(value, `round ${round}, value ${i}`).toBeCloseTo(expected[round][i], 5);
});

it("refuses a rate that is no number from 0", () => {
  expect(() => federatedRounds(FedAdagradClient, { server_rate: -1 }, (mean) => mean)).toThrow(
    "parameter `server_rate`: expected a number from 0, got -1",
  );
});

it.each(["beta1"])("refuses a %s of 1", (name) => {
  expect(() => federatedRounds(FedAdagradClient, { [name]: 1 }, (mean) => mean)).toThrow(
    `parameter \`${name}\`: expected a number from 0, below 1, got 1`,
  );
});

describeCodec("fedadagrad.FedAdagradClient", FedAdagradClient, {
  parameters: { local_steps: 1, server_rate: 0.1 },
  seedCount: 60,
});
