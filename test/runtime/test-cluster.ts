import { MODELS, buildModel, tfjsEngine, traceModel } from "@psgd/compute";
import {
  SILENT,
  seededRandom,
  type CodecClass,
  type CodecParameters,
  type Logger,
  type NodeId,
  type Transport,
  type WorkerInfo,
} from "@psgd/core";
import { createDataset, datasetToBytes, type Dataset } from "@psgd/data";
import { VirtualClock } from "@psgd/harness";
import {
  JobClient,
  SharedValues,
  WorkerDaemon,
  followJob,
  nodesOf,
  packJob,
  submitJob,
  type JobOutcome,
  type JobPackages,
  type JobSpec,
  type Placement,
  type WorkerDaemonOptions,
} from "@psgd/runtime";
import { MemoryNetwork } from "@psgd/transport";
import { MemoryStore } from "../support/memory-store.js";
import { InProcessNodeHost } from "./in-process-node-host.js";

const INPUT_SIZE = 2;

/** Sixteen rows of y = x₀ − 2 x₁ + 0.5: with two nodes and blocks of eight, each step sees all of them. */
export function tinyDataset(targetOf = (x0: number, x1: number) => x0 - 2 * x1 + 0.5): Dataset {
  const samples = (count: number, salt: string) => {
    const random = seededRandom(salt);
    const inputs = Float32Array.from({ length: count * INPUT_SIZE }, () => 2 * random.float() - 1);
    const targets = Float32Array.from({ length: count }, (_, row) =>
      targetOf(inputs[2 * row]!, inputs[2 * row + 1]!),
    );
    return { count, inputs, targets };
  };
  return createDataset({
    name: "tiny",
    task: "regression",
    inputShape: [INPUT_SIZE],
    outputSize: 1,
    train: samples(16, "train"),
    test: samples(4, "test"),
    synthetic: true,
  });
}

export interface TestJob {
  readonly spec: JobSpec;
  readonly packages: JobPackages;
}

export interface TestJobOptions {
  readonly codec: string;
  readonly serverCodec?: string;
  readonly nodeCount?: number;
  readonly redundancy?: number;
  readonly stepCount?: number;
  readonly optimizer?: JobSpec["optimizer"];
  readonly sync?: JobSpec["sync"];
  readonly learningRate?: number;
  readonly staleness?: number;
  readonly syncTimeoutMs?: number;
  readonly parameters?: CodecParameters;
  readonly dataset?: Dataset;
  readonly batchSize?: number;
  readonly stepsPerEpoch?: number;
}

/** A job of linear regression whose codecs go by their names in `CODECS`. */
export function testJob(options: TestJobOptions): TestJob {
  const { codec, serverCodec, nodeCount = 2, redundancy = 1, stepCount = 3 } = options;
  const { batchSize = 8, stepsPerEpoch = 1 } = options;
  const spec: JobSpec = {
    codec,
    serverCodec,
    perTensor: false,
    codecMap: undefined,
    nodeCount,
    redundancy,
    blockAssignment: "iid",
    batchSize,
    epochs: Math.ceil(stepCount / stepsPerEpoch),
    maxSteps: stepCount,
    seed: 1,
    sync: options.sync ?? "ssgd",
    staleness: options.staleness ?? 3,
    syncTimeoutMs: options.syncTimeoutMs ?? 10_000,
    codecTimeoutMs: 30_000,
    optimizer: options.optimizer ?? "parallel_sgd",
    gradientDescent: "sgd",
    learningRate: options.learningRate ?? 0.1,
    parameters: options.parameters ?? {},
    model: "linear",
    dataset: "tiny",
    transforms: [],
    engine: "tfjs",
  };
  const model = buildModel(MODELS.linear, {
    inputShape: [INPUT_SIZE],
    outputSize: 1,
    seed: 1,
    name: "linear",
  });
  const evaluationBatchSize = 4;
  const traced = traceModel(model, { batchSize, evaluationBatchSize, loss: "meanSquaredError" });
  model.dispose();
  const packages = packJob({
    settings: {
      nodeCount,
      hasServer: serverCodec !== undefined,
      redundancy,
      blockAssignment: "iid",
      batchSize,
      stepsPerEpoch,
      stepCount,
      seed: spec.seed,
      parameters: spec.parameters,
    },
    codecs: {
      modules: [codec, ...(serverCodec === undefined ? [] : [serverCodec])],
      variables: [
        {
          tensor: undefined,
          codec: { className: codec, module: 0 },
          server: serverCodec === undefined ? undefined : { className: serverCodec, module: 1 },
        },
      ],
      sync: spec.sync,
      staleness: spec.staleness,
      syncTimeoutMs: spec.syncTimeoutMs,
      codecTimeoutMs: spec.codecTimeoutMs,
      optimizer: spec.optimizer,
      gradientDescent: spec.gradientDescent,
      learningRate: spec.learningRate,
    },
    model: { ...traced, evaluationBatchSize },
    misc: { epochs: spec.epochs, engine: spec.engine, transforms: [] },
    dataset: datasetToBytes(options.dataset ?? tinyDataset()),
  });
  return { spec, packages };
}

/** One worker of a test cluster, and what a test may do to it. */
export interface TestWorker {
  readonly daemon: WorkerDaemon;
  readonly store: MemoryStore;
  readonly host: InProcessNodeHost;
  readonly log: readonly string[];
}

/** Workers and submitters over the memory transport, under virtual time: runs repeat exactly. */
export class TestCluster {
  readonly clock = new VirtualClock();
  readonly network = new MemoryNetwork();
  readonly #codecs: Readonly<Record<string, CodecClass>>;
  #clientCount = 0;
  #jobCount = 0;

  constructor(codecs: Readonly<Record<string, CodecClass>>) {
    this.#codecs = codecs;
  }

  async worker(
    name: string,
    options: {
      slots?: number;
      store?: MemoryStore;
      provide?: WorkerDaemonOptions["provide"];
      transport?: Transport;
    } = {},
  ): Promise<TestWorker> {
    const { clock, network } = this;
    const { slots = 1, store = new MemoryStore() } = options;
    const log: string[] = [];
    const write = (line: string): void => void log.push(line);
    const logger: Logger = { info: write, warn: write, error: write };
    const host = new InProcessNodeHost((incarnation) => ({
      clock,
      transport: network.connect(),
      store,
      engine: () => tfjsEngine(),
      loadModule: async (source) => ({ [source]: this.#codecs[source] }),
      modelFiles: (_model, weights) => ({
        "weights.bin": new Uint8Array(weights.slice().buffer),
      }),
      logger: (writeLine) => ({ info: writeLine, warn: writeLine, error: writeLine }),
      shared: new SharedValues(),
      incarnationSeed: `${name}/${incarnation}`,
    }));
    const daemon = await WorkerDaemon.start({
      info: { workerId: name, name, version: "1", hosts: [], engines: [], labels: {}, slots },
      transport: options.transport ?? network.connect(),
      directory: network.directory(clock),
      store,
      host,
      clock,
      random: seededRandom(name),
      log: logger,
      ...(options.provide === undefined ? {} : { provide: options.provide }),
    });
    return { daemon, store, host, log };
  }

  async workers(...names: readonly string[]): Promise<readonly TestWorker[]> {
    return Promise.all(names.map((name) => this.worker(name)));
  }

  /** A submitter's end; `vanish` cuts it off without a word. */
  async client(): Promise<{ client: JobClient; vanish: () => Promise<void> }> {
    const transport = this.network.connect();
    const address = `client.${this.#clientCount++}`;
    const random = seededRandom(address);
    const { clock } = this;
    const client = await JobClient.open({ transport, clock, random, address, log: SILENT });
    return { client, vanish: () => transport.close() };
  }

  newJobId(): string {
    return `job-${this.#jobCount++}`;
  }

  submit(
    client: JobClient,
    { spec, packages }: TestJob,
    workers: readonly TestWorker[],
    options: { jobId?: string; signal?: AbortSignal; readyTimeoutMs?: number } = {},
  ): Promise<string> {
    const { jobId = this.newJobId(), signal, readyTimeoutMs = 60_000 } = options;
    const submitted = submitJob({
      jobId,
      spec,
      packages,
      placement: placementOn(nodesOf(spec), workers),
      client,
      clock: this.clock,
      log: SILENT,
      leaseTimeoutMs: 7_000,
      readyTimeoutMs,
      ...(signal === undefined ? {} : { signal }),
    });
    return submitted.then(() => jobId);
  }

  follow(client: JobClient, jobId: string, job: TestJob, workers: readonly TestWorker[]) {
    const placement = placementOn(nodesOf(job.spec), workers);
    return followJob({
      jobId,
      client,
      addresses: new Map([...placement].map(([node, { address }]) => [node, address])),
      observer: { onProgress: () => {}, onEnded: () => {}, onLost: () => {} },
    });
  }

  /** Submits and waits for the end. */
  async run(
    job: TestJob,
    workers: readonly TestWorker[],
  ): Promise<JobOutcome & { client: JobClient }> {
    const { client } = await this.client();
    const jobId = await this.clock.run(this.submit(client, job, workers));
    const outcome = await this.clock.run(this.follow(client, jobId, job, workers).outcome);
    return { ...outcome, client };
  }
}

/** Node by node, in order, from the first worker on. */
export function placementOn(nodes: readonly NodeId[], workers: readonly TestWorker[]): Placement {
  return new Map(
    nodes.map((node, index): [NodeId, WorkerInfo] => [
      node,
      workers[index % workers.length]!.daemon.info(),
    ]),
  );
}
