import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RemoteCluster } from "@psgd/cli";
import { loadTensorFlow, type Tensor } from "@psgd/compute";
import { isPsgdError } from "@psgd/core";
import { ModulePlan, plan, Protocol, tensor } from "@psgd/remote";
import { startCluster, type Cluster } from "../support/cluster.js";

const tf = loadTensorFlow();

const doubleAbs = () =>
  plan(
    function double_abs(x: Tensor) {
      return tf.abs(x.add(x));
    },
    { argsShape: [[2]] },
  );

/** The process in which a worker runs plans. */
async function planProcessOf(cluster: Cluster, index: number): Promise<number> {
  const { stdout } = await promisify(execFile)("ps", ["-eo", "pid=,ppid=,args="]);
  const line = stdout
    .split("\n")
    .map((text) => text.trim().split(/ +/))
    .find(([, parent, ...args]) => {
      return (
        Number(parent) === cluster.workers[index]!.pid && args.join(" ").includes("plan-process")
      );
    });
  return Number(line?.[0] ?? NaN);
}

describe("plans on two workers over a real server", () => {
  let cluster: Cluster;
  let owner: RemoteCluster;
  let caller: RemoteCluster;
  beforeAll(async () => {
    cluster = await startCluster({ workerCount: 2 });
    [owner, caller] = await Promise.all([
      RemoteCluster.connect(cluster.server.url),
      RemoteCluster.connect(cluster.server.url),
    ]);
  });
  afterAll(async () => {
    await owner.close();
    await caller.close();
    await cluster[Symbol.asyncDispose]();
  });

  test("the tutorial, from the data to the protocol", async () => {
    // Whose data it is puts it on the workers, with tags.
    const [data1, data2] = await Promise.all([owner.worker("w1"), owner.worker("w2")]);
    data1.put(tensor([-1, 2]), { tags: ["input_data"] });
    data2.put(tensor([1, -2]), { tags: ["input_data"] });
    await Promise.all([data1.search("input_data"), data2.search("input_data")]);

    const [w1, w2] = await Promise.all([caller.worker("w1"), caller.worker("w2")]);
    const [x1, x2] = (await Promise.all([w1.search("input_data"), w2.search("input_data")])).flat();
    const doubled = doubleAbs();
    // One built plan, two workers; the second call does not wait for the first result.
    const [first, second] = [doubled.send(w1).run(x1!), doubled.send(w2).run(x2!)];
    expect([...(await first.get()).data]).toEqual([2, 4]);
    expect([...(await second.get()).data]).toEqual([2, 4]);

    // Kept remote and used next.
    const onW1 = doubled.send(w1);
    expect([...(await onW1.run(onW1.run(onW1.run(x1!))).get()).data]).toEqual([8, 16]);

    class Net extends ModulePlan {
      readonly fc = tf.layers.dense({ units: 3, kernelInitializer: "ones" });
      forward(x: Tensor): Tensor {
        return tf.relu(this.fc.apply(x.reshape([1, 2])) as Tensor);
      }
    }
    const net = new Net().build(tensor([0, 0]));
    expect([...(await net.send(w2).run(x2!).get()).data]).toEqual([0, 0, 0]);
    expect([...(await net.send(w1).run(x1!).get()).data]).toEqual([1, 1, 1]);

    const biased = plan(
      (x: Tensor, state: { read(): Tensor[] }) => tf.abs(x).add(state.read()[0]!),
      { argsShape: [[2]], state: [tensor([1])] },
    );
    const result = biased.send(w1).run(w1.put(tensor([-1, 0])));
    expect([...(await result.get()).data]).toEqual([2, 1]);

    const protocol = new Protocol([
      ["worker1", doubled],
      ["worker2", biased],
    ]).deploy(w1, w2);
    expect([...(await protocol.run(tensor([1, -3]))).data]).toEqual([3, 7]);
  });

  test("a mistake is one error at its caller's; the worker serves the next call", async () => {
    const worker = await caller.worker("w1");
    const pointerPlan = doubleAbs().send(worker);
    await expect(pointerPlan.run(worker.put(tensor([1, 2, 3]))).get()).rejects.toThrow(
      /^SHAPE_MISMATCH: plan `double_abs`: expected float32 \[2\] as `x0`, got float32 \[3\]/,
    );
    const pointer = pointerPlan.run(worker.put(tensor([1, 2])));
    expect([...(await pointer.get()).data]).toEqual([2, 4]);
    await expect(caller.worker("w9")).rejects.toThrow(
      /^WORKER_LOST: worker w9: expected one of w1, w2/,
    );
  });

  test("a process that dies while it computes is named; the worker starts another", async () => {
    const worker = await caller.worker("w2");
    const slow = plan(
      (x: Tensor) => {
        let y = x;
        for (let i = 0; i < 40; i++) y = y.matMul(x).mul(1e-3);
        return y.sum();
      },
      { argsShape: [[1024, 1024]], name: "slow" },
    ).send(worker);
    const x = worker.put({
      shape: [1024, 1024],
      dtype: "float32",
      data: new Float32Array(2 ** 20),
    });
    const waiting = slow.run(x).get();
    const failure = waiting.catch((error: unknown) => error);
    process.kill(await planProcessOf(cluster, 1), "SIGKILL");
    const error = await failure;
    expect(isPsgdError(error, "WORKER_LOST"), String(error)).toBe(true);
    expect((error as Error).message).toMatch(/worker w2: .*killed by SIGKILL/);

    const again = await caller.worker("w2");
    const pointer = doubleAbs()
      .send(again)
      .run(again.put(tensor([3, -4])));
    expect([...(await pointer.get()).data]).toEqual([6, 8]);
  });

  test("what nobody needs any more leaves no process behind", async () => {
    expect(await planProcessOf(cluster, 0)).toBeGreaterThan(0);
    await owner.close();
    await caller.close();
    await expect
      .poll(async () => Promise.all([planProcessOf(cluster, 0), planProcessOf(cluster, 1)]), {
        timeout: 10_000,
      })
      .toEqual([NaN, NaN]);
  });
});
