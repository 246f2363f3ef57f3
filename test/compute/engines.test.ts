import { describe, expect, test } from "vitest";
import {
  ENGINES,
  MODELS,
  autoEngine,
  availableEngines,
  buildModel,
  probeEngines,
  traceModel,
  type EngineName,
} from "@psgd/compute";
import type { Plan } from "@psgd/core";

function tracedMlp() {
  const shape = { name: "mlp", inputShape: [20], outputSize: 3, seed: 5 };
  const model = buildModel(MODELS.mlp, shape);
  const batch = { batchSize: 4, evaluationBatchSize: 4 };
  return traceModel(model, { ...batch, loss: "softmaxCrossEntropy" });
}

describe("engines tried in another process", () => {
  test("are those of the registry, in its order, each with its time or the reason why not", async () => {
    const probes = await probeEngines();
    expect(probes.map(({ name }) => name)).toEqual(Object.keys(ENGINES));
    for (const probe of probes) {
      if (probe.isAvailable) expect(probe.stepMs).toBeGreaterThan(0);
      else expect(probe.reason).toMatch(/^BACKEND_UNAVAILABLE: .*; .*use the onnx engine$/s);
    }
    const here = probes.filter(({ isAvailable }) => isAvailable).map(({ name }) => name);
    expect(here).toEqual(expect.arrayContaining(["onnx", "wasm", "tfjs"]));
    expect(await availableEngines()).toEqual(here);
  });

  test("refuse a plan for their own reason", async () => {
    const { train } = tracedMlp();
    const plan: Plan = { ...train, nodes: train.nodes.slice(1) };
    for (const probe of await probeEngines({ names: ["onnx", "wasm"], plan }))
      expect(probe).toMatchObject({
        isAvailable: false,
        reason: expect.stringMatching(/^PLAN_INVALID: /) as string,
      });
  });

  test("are not available, each of them, if their process ends before it says anything", async () => {
    const names: EngineName[] = ["onnx", "tfjs"];
    const before = process.env["NODE_OPTIONS"];
    process.env["NODE_OPTIONS"] = "--require=/nowhere";
    try {
      expect(await probeEngines({ names })).toEqual(
        names.map((name) => ({
          name,
          isAvailable: false,
          reason: "its process ended with code 1",
        })),
      );
    } finally {
      if (before === undefined) delete process.env["NODE_OPTIONS"];
      else process.env["NODE_OPTIONS"] = before;
    }
  });
});

describe("the auto engine", () => {
  test("takes the fastest for the first plan, says so once, and keeps it for the next", async () => {
    const { train, evaluate, layout, initialWeights } = tracedMlp();
    const lines: string[] = [];
    const engine = autoEngine((line) => lines.push(line));
    const executable = await engine.compile(train);
    await engine.compile(evaluate);
    expect(lines).toHaveLength(1);
    const times = [...lines[0]!.matchAll(/([\w-]+) \(?(\d[\d.e+-]*) ms/g)];
    expect(lines[0]).toMatch(/^Engine: [\w-]+ \([\d.e+-]+ ms a step(; [\w-]+ [\d.e+-]+ ms)*\)\.$/);
    const values = times.map(([, , ms]) => Number(ms));
    expect(values.length).toBeGreaterThanOrEqual(2);
    expect(values).toEqual([...values].sort((a, b) => a - b));

    const chosen = await ENGINES[times[0]![1] as EngineName]().compile(train);
    const inputs = { x: new Float32Array(80).fill(0.5), y: new Float32Array(12).fill(1 / 3) };
    const [got, expected] = [executable, chosen].map((one) => {
      const gradients = new Float32Array(layout.size);
      one.run(inputs, initialWeights, gradients);
      return gradients;
    });
    expect(got).toEqual(expected);
  });

  test("refuses a plan that no engine runs with the reason of the reference", async () => {
    const { train } = tracedMlp();
    const plan: Plan = { ...train, nodes: train.nodes.slice(1) };
    const lines: string[] = [];
    await expect(autoEngine((line) => lines.push(line)).compile(plan)).rejects.toThrow(
      /^PLAN_INVALID: /,
    );
    expect(lines).toEqual(["Engine: tfjs, as no other runs this model here."]);
  });
});
