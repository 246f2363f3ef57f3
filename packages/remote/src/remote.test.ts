import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { loadTensorFlow, onnxEngine, type Tensor } from "@psgd/compute";
import { isPsgdError, layoutOf, type Plan } from "@psgd/core";
import { FunctionPlan, plan } from "./function-plan.js";
import { ModulePlan } from "./module-plan.js";
import { Protocol } from "./protocol.js";
import { tensor } from "./tensor-value.js";
import { VirtualWorker } from "./virtual-worker.js";

const tf = loadTensorFlow();
const engine = onnxEngine();
const x11 = tensor([-1, 2]);
const x12 = tensor([1, -2]);
const newDevice = (name = "device_1") =>
  new VirtualWorker(name, {
    engine,
    data: [
      [x11, "input_data"],
      [x12, "input_data2"],
    ],
  });
const doubleAbs = () =>
  plan(function double_abs(x: Tensor) {
    return tf.abs(x.add(x));
  });
const values = async (pointer: { get(): Promise<{ data: ArrayLike<number> }> }) => [
  ...Array.from((await pointer.get()).data),
];

// The worked example of the seed's tutorial, in its order and with its numbers.
describe("the tutorial", () => {
  it("searches for data by its tags", async () => {
    const device = newDevice();
    const [found] = await device.search("input_data");
    expect(String(found)).toBe("[Pointer | me:s0:0 -> device_1:s0:0 | tags: input_data]");
    expect(await values(found!)).toEqual([-1, 2]);
    // Fetching somebody's tagged data does not take it away.
    expect(await device.search("input_data")).toHaveLength(1);
    expect(await device.search("input_data", "input_data2")).toEqual([]);
  });

  it("builds a plan, sends it and runs it there", async () => {
    const device = newDevice();
    const doubled = doubleAbs();
    expect(doubled.isBuilt).toBe(false);
    expect(String(doubled)).toMatch(/^<Plan double_abs id:\d+ owner:me>$/);
    expect(() => doubled.send(device)).toThrow(
      "A plan needs to be built before being sent to a worker.",
    );
    doubled.build(tensor([1, -2]));
    expect(doubled.isBuilt).toBe(true);
    expect(String(doubled)).toMatch(
      /^<Plan double_abs id:\d+ owner:me \(float32 \[2\]\) -> \(float32 \[2\]\), \d+ bytes, sha256 [0-9a-f]{12}…\n {2}2 operations: Add, Abs>$/,
    );
    const pointerPlan = doubled.send(device);
    expect(String(pointerPlan)).toMatch(/^\[PointerPlan \| me:\d+ -> device_1:\d+\]$/);
    const [data] = await device.search("input_data");
    const result = pointerPlan.run(data!);
    expect(await values(result)).toEqual([2, 4]);
  });

  it("sends a plan of a class, with the weights of its layers", async () => {
    class Net extends ModulePlan {
      readonly fc1 = tf.layers.dense({ units: 3, kernelInitializer: "ones" });
      readonly fc2 = tf.layers.dense({ units: 2, kernelInitializer: "ones" });
      forward(x: Tensor): Tensor {
        const hidden = tf.relu(this.fc1.apply(x.reshape([1, 2])) as Tensor);
        return tf.logSoftmax(this.fc2.apply(hidden) as Tensor);
      }
    }
    const device = newDevice();
    const net = new Net();
    net.build(tensor([1, 2]));
    const [data] = await device.search("input_data");
    const expected = tf.tidy(() => [...net.forward(tf.tensor([-1, 2])).dataSync()]);
    expect(await values(net.send(device).run(data!))).toEqual(expected);
  });

  it("sends one built plan to several workers", async () => {
    const [first, second] = [newDevice("device_1"), newDevice("device_2")];
    const doubled = doubleAbs().build(tensor([1, 2]));
    for (const device of [first, second]) {
      const [data] = await device.search("input_data2");
      expect(await values(doubled.send(device).run(data!))).toEqual([2, 4]);
    }
  });

  it("builds at once from shapes, where -1 is 1", () => {
    const built = plan((x: Tensor) => tf.abs(x), { argsShape: [[-1, 1]] });
    expect(built.isBuilt).toBe(true);
    expect(built.traced.plan.values[0]).toEqual({ shape: [1, 1], dtype: "float32" });
    const two = plan((x: Tensor, y: Tensor) => x.add(y), {
      argsShape: [
        [1, 2],
        [-1, 2],
      ],
    });
    expect(two.isBuilt).toBe(true);
    for (const shape of [[-2, 1], [0], [1.5]]) {
      expect(() => plan((x: Tensor) => x, { argsShape: [shape] })).toThrow(
        `Invalid shape [${shape.join()}]`,
      );
    }
  });

  it("carries state", async () => {
    const device = newDevice();
    const biased = plan(
      (x: Tensor, state: { read(): Tensor[] }) => {
        const [bias] = state.read();
        return tf.abs(x).add(bias!);
      },
      { argsShape: [[2]], state: [tensor([1])], name: "biased" },
    );
    const pointer = biased.send(device).run(device.put(tensor([-1, 0])));
    expect(await values(pointer)).toEqual([2, 1]);
  });

  it("runs a protocol over several workers", async () => {
    const increment = (by: number) =>
      plan((x: Tensor) => x.add(by), { argsShape: [[1]], name: `plus${by}` });
    const protocol = new Protocol([
      ["worker1", increment(1)],
      ["worker2", increment(10)],
      ["worker2", increment(100)],
      ["worker1", increment(1000)],
    ]);
    expect(String(protocol)).toBe(
      "<Protocol worker1: plus1 -> worker2: plus10 -> worker2: plus100 -> worker1: plus1000>",
    );
    await expect(protocol.run(tensor([1]))).rejects.toThrow(/expected it to be deployed/);
    const [first, second] = [newDevice("a"), newDevice("b")];
    protocol.deploy(first, second);
    expect([...(await protocol.run(tensor([1]))).data]).toEqual([1112]);
    expect(() => protocol.deploy(first)).toThrow(/expected 2 workers \(worker1, worker2\), got 1/);
  });
});

describe("pointers", () => {
  it("are there before the results, and go into the next call", async () => {
    const device = newDevice();
    const doubled = doubleAbs()
      .build(tensor([1, 2]))
      .send(device);
    // Nothing has been awaited: four calls and their arguments are on their way.
    let pointer = device.put(tensor([1, -3]));
    for (let i = 0; i < 4; i++) pointer = doubled.run(pointer);
    expect(await values(pointer)).toEqual([16, 48]);
  });

  it("free what they point to, by hand and when they are fetched", async () => {
    const device = newDevice();
    await device.search("input_data");
    const own = device.host.heldBytes;
    const pointer = device.put(tensor([1, 2, 3]));
    expect(await values(pointer)).toEqual([1, 2, 3]);
    await expect(pointer.get()).rejects.toThrow(
      /^POINTER_GONE: pointer \d+: .* it was freed or fetched/,
    );
    device.put(tensor([4])).free();
    await device.search("nothing");
    await device.search("nothing");
    expect(device.host.heldBytes).toBe(own);
  });

  it("are let go of when nobody holds them, but for tagged data", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const device = newDevice();
    await device.search("input_data");
    const own = device.host.heldBytes;
    device.put(tensor([1, 2, 3, 4]), { tags: ["published"] });
    for (let i = 0; i < 100; i++) device.put(tensor([1, 2, 3, 4]));
    await device.search("published");
    expect(device.host.heldBytes).toBe(own + 101 * 16);
    await expect
      .poll(async () => {
        collect();
        return (await device.search("published")).length === 1 && device.host.heldBytes;
      })
      .toBe(own + 16);
  });

  it("of one worker are refused on another", () => {
    const [first, second] = [newDevice("device_1"), newDevice("device_2")];
    const doubled = doubleAbs()
      .build(tensor([1, 2]))
      .send(second);
    expect(() => doubled.run(first.put(tensor([1, 2])))).toThrow(
      /^POINTER_GONE: .*expected one of device_2, got one of device_1; fetch it with get/,
    );
  });

  it("give several results", async () => {
    const device = newDevice();
    const both = plan((x: Tensor) => [x.neg(), x.square()], { argsShape: [[2]] });
    const [negative, square] = both.send(device).runAll(device.put(tensor([2, -3])));
    expect(await values(negative!)).toEqual([-2, 3]);
    expect(await values(square!)).toEqual([4, 9]);
  });

  it("keep a plan's state from run to run", async () => {
    const count = tf.variable(tf.scalar(0), false, "remote-count");
    const counting = plan(
      (x: Tensor) => {
        count.assign(count.add(1));
        return x.mul(count);
      },
      { argsShape: [[1]] },
    );
    const device = newDevice();
    const pointerPlan = counting.send(device);
    for (const expected of [5, 10, 15]) {
      expect(await values(pointerPlan.run(device.put(tensor([5]))))).toEqual([expected]);
    }
    expect(count.dataSync()[0]).toBe(0);
    count.dispose();
  });
});

describe("what goes wrong", () => {
  const built = () => doubleAbs().build(tensor([1, 2]));
  const refusals: [string, (device: VirtualWorker) => Promise<unknown>, RegExp][] = [
    [
      "another shape",
      (device) =>
        built()
          .send(device)
          .run(device.put(tensor([1, 2, 3])))
          .get(),
      /^SHAPE_MISMATCH: plan `double_abs`: expected float32 \[2\] as `x0`, got float32 \[3\]; build the plan/,
    ],
    [
      "another type",
      (device) =>
        built()
          .send(device)
          .run(device.put(tensor([1, 2], "int32")))
          .get(),
      /^SHAPE_MISMATCH: .*expected float32 \[2\] as `x0`, got int32 \[2\]/,
    ],
    [
      "too many arguments",
      (device) => {
        const x = device.put(tensor([1, 2]));
        return built().send(device).run(x, x).get();
      },
      /^SHAPE_MISMATCH: .*expected 1 arguments for 1 results, got 2 for 1/,
    ],
    [
      "a freed argument",
      (device) => {
        const x = device.put(tensor([1, 2]));
        x.free();
        return new Promise((resolve) => queueMicrotask(() => resolve(undefined))).then(() =>
          built().send(device).run(x).get(),
        );
      },
      /^POINTER_GONE/,
    ],
    [
      "a plan of another version",
      (device) => forged(device, (plan) => ({ ...plan, version: 1 }) as never),
      /^PLAN_INVALID: plan: expected psgd-plan 2, got psgd-plan 1/,
    ],
    [
      "a kernel that is none",
      (device) =>
        forged(device, (plan) => ({
          ...plan,
          nodes: [{ ...plan.nodes[0]!, kernel: "ReadFile" }, ...plan.nodes.slice(1)],
        })),
      /^PLAN_INVALID: .*expected a known kernel, got "ReadFile"/,
    ],
    [
      "a plan whose values are beyond all memory",
      (device) =>
        forged(device, (plan) => ({
          ...plan,
          values: plan.values.map((value) => ({ ...value, shape: [2 ** 31] })),
        })),
      /^PLAN_INVALID: .*expected at most \d+ bytes in value 0/,
    ],
    [
      "a plan of too many operations",
      (device) => {
        const heavy = plan(
          (x: Tensor) => x.matMul(tf.ones([4096, 8192])).matMul(tf.ones([8192, 4096])),
          { argsShape: [[8192, 4096]], name: "heavy" },
        );
        return heavy
          .send(device)
          .run(device.put(tensor([1])))
          .get();
      },
      /^PLAN_INVALID: plan `heavy`: expected at most 1000000000000 operations in a run, got about|^PAYLOAD_TOO_LARGE: a run of plan `heavy`/,
    ],
    [
      "a tensor that lies about its shape",
      (device) => device.put({ shape: [3], dtype: "float32", data: new Float32Array(2) }).get(),
      /^SHAPE_MISMATCH: put: expected a tensor with as many values as its shape says/,
    ],
  ];

  /** Runs a built plan that was changed on its way. */
  function forged(device: VirtualWorker, change: (plan: Plan) => Plan): Promise<unknown> {
    const { plan: content, initialState } = built().traced;
    const id = device.sendPlan(change(content), initialState);
    return device.run(id, [device.put(tensor([1, 2]))], 1)[0]!.get();
  }

  it.each(refusals)(
    "is one clear error where the result is asked for: %s",
    async (_, run, message) => {
      const device = newDevice();
      await expect(Promise.resolve().then(() => run(device))).rejects.toThrow(message);
      // And the worker serves the next call.
      expect(
        await values(
          built()
            .send(device)
            .run(device.put(tensor([1, -2]))),
        ),
      ).toEqual([2, 4]);
    },
  );

  it("reaches every result that depends on it", async () => {
    const device = newDevice();
    const doubled = built().send(device);
    const wrong = doubled.run(device.put(tensor([1, 2, 3])));
    await expect(doubled.run(doubled.run(wrong)).get()).rejects.toThrow(/got float32 \[3\]/);
  });

  it("bounds what a caller holds", async () => {
    const device = new VirtualWorker("small", {
      engine,
      limits: { callerBytes: 40, totalBytes: 1000, flopsPerRun: 1e6 },
    });
    const first = device.put(tensor([1, 2, 3, 4, 5, 6]));
    await expect(device.put(tensor([1, 2, 3, 4, 5])).get()).rejects.toThrow(
      /^PAYLOAD_TOO_LARGE: what was sent: expected at most 16 bytes more, got 20; free what is not needed/,
    );
    expect(await values(first)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await values(device.put(tensor([1, 2, 3, 4, 5])))).toEqual([1, 2, 3, 4, 5]);
  });

  it("on the line of one caller touches no other", async () => {
    const device = newDevice();
    const { channelPair } = await import("./channel.js");
    const [hostile, theirs] = channelPair();
    device.host.serve(theirs);
    const answers: unknown[] = [];
    hostile.onMessage((message) => answers.push(message));
    hostile.send({ type: "get", request: 0, id: "../../etc/passwd" });
    await device.search("input_data");
    expect(answers).toMatchObject([{ type: "refused", error: { code: "WIRE_MALFORMED" } }]);
    expect(await device.search("input_data")).toHaveLength(1);
  });

  it("is said of a worker that is gone, to whoever waits and whoever asks", async () => {
    const device = newDevice();
    const waiting = device.put(tensor([1])).get();
    device.fail(new Error("no sign of life"));
    await expect(waiting).rejects.toThrow(/^WORKER_LOST: worker device_1: .*no sign of life/);
    await expect(device.put(tensor([1])).get()).rejects.toThrow(/^WORKER_LOST/);
    await expect(device.search("x")).rejects.toSatisfy((e) => isPsgdError(e, "WORKER_LOST"));
  });

  it("refuses state that is not of floats, and tensors of uneven lists", () => {
    expect(() => new FunctionPlan("p", (x: Tensor) => x, [tensor([1], "int32")])).toThrow(
      /^SHAPE_MISMATCH: state of plan `p`: expected float32 tensors, got int32 \[1\]/,
    );
    expect(() => tensor([[1, 2], [3]])).toThrow(/^SHAPE_MISMATCH: tensor: expected lists of equal/);
  });
});

describe("a caller that leaves", () => {
  it("leaves nothing behind, tagged or not", async () => {
    const device = newDevice();
    const { channelPair } = await import("./channel.js");
    const { RemoteWorker } = await import("./remote-worker.js");
    await device.search("input_data");
    const own = device.host.heldBytes;
    const [mine, theirs] = channelPair();
    device.host.serve(theirs);
    const guest = new RemoteWorker("device_1", mine);
    guest.put(tensor([1, 2, 3]), { tags: ["shared"] });
    const [seen] = await guest.search("input_data");
    expect(await values(seen!)).toEqual([-1, 2]);
    const [shared] = await device.search("shared");
    expect(await values(shared!)).toEqual([1, 2, 3]);
    await guest.close();
    await device.search("anything");
    expect(device.host.heldBytes).toBe(own);
    await expect(shared!.get()).rejects.toThrow(/^POINTER_GONE/);
    expect(layoutOf([]).size).toBe(0);
  });
});
