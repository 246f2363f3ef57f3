import {
  ASSIGNMENTS,
  Codec,
  PARAMETER_SERVER,
  PsgdError,
  createSettings,
  layoutOfTensor,
  seededRandom,
  toErrorRecord,
  type CodecClass,
  type GlobalSettings,
  type Logger,
  type NodeId,
  type TensorLayout,
} from "@psgd/core";
import {
  BlockExchange,
  CodecActor,
  SYNC_POLICIES,
  asynchronousSgd,
  type ExchangeCodec,
} from "@psgd/sgd";
import {
  nodeToken,
  nodesOf,
  resultTitle,
  unpackPackage,
  type CodecAndSgdPackage,
  type GlobalSettingPackage,
  type NodeAssignment,
  type NodeSummary,
  type PackageContents,
} from "../job.js";
import { watchConnection } from "../connection-watch.js";
import { packageKey, resultKey } from "../worker-store.js";
import { constructCodec, loadCodecClass } from "./load-codec.js";
import { Ledger, ledgerFile, type LedgerEntry } from "./ledger.js";
import { Mesh } from "./mesh.js";
import type { NodeControl, NodeWorld } from "./node-world.js";
import { TrainingLoop, type Trained } from "./training-loop.js";
import { Trace } from "./trace.js";

/** How long a failing node gives its last words to arrive. */
const LAST_WORDS_MS = 1_000;

/**
 * Runs one node of a job from its packages to its last event: `ready`, then `finished` or `failed`. Never rejects.
 * Whatever ends it, the codec is disposed and the links are closed.
 */
export async function runNode(
  assignment: NodeAssignment,
  world: NodeWorld,
  control: NodeControl,
): Promise<void> {
  const log = openLog(assignment, world, control);
  const resources = new NodeResources();
  try {
    const summary = await trainNode(assignment, world, control, log, resources);
    await resources.dispose();
    log.info(`Execution complete, time: ${(summary.elapsedMs / 1000).toFixed(3)} sec`);
    await log.flush();
    control.emit({ type: "finished", summary });
  } catch (error) {
    const record = toErrorRecord(error);
    log.error(record.message);
    resources.mesh?.abort(error);
    control.emit({ type: "failed", error: record });
    // The first error is the one that counts; what else breaks on the way out is only logged.
    const report = (later: unknown): void => log.error(toErrorRecord(later).message);
    if (resources.mesh !== undefined) await closeWithin(resources.mesh, world, LAST_WORDS_MS);
    await resources.dispose().catch(report);
    await log.flush().catch(report);
  }
}

/** What a node holds until it ends. */
class NodeResources {
  mesh: Mesh | undefined;
  readonly #disposals: (() => Promise<void> | void)[] = [];

  add(dispose: () => Promise<void> | void): void {
    this.#disposals.push(dispose);
  }

  /** In reverse order; all are tried, then the first error is thrown. */
  async dispose(): Promise<void> {
    const results = await Promise.allSettled(
      this.#disposals
        .splice(0)
        .reverse()
        .map(async (dispose) => dispose()),
    );
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }
}

async function trainNode(
  assignment: NodeAssignment,
  world: NodeWorld,
  control: NodeControl,
  log: NodeLog,
  resources: NodeResources,
): Promise<NodeSummary> {
  const { jobId, nodeId, spec } = assignment;
  const failure = new Failure(control.signal);
  const load = <Name extends keyof PackageContents>(name: Name): Promise<PackageContents[Name]> =>
    loadPackage(world, assignment, name);
  const globals = await load("global_setting_package");
  const settings = settingsOf(globals);
  const codecs = await load("codec_and_sgd_package");
  const model = await load("weights_and_layers_package");
  const isServer = nodeId === PARAMETER_SERVER;

  const loop = isServer
    ? undefined
    : await TrainingLoop.prepare({
        assignment,
        world,
        settings,
        codecs,
        model,
        misc: await load("misc_package"),
        seed: globals.seed,
        trace: new Trace(world.store, resultKey(jobId, nodeId), resultTitle(spec, nodeId)),
        log,
        emit: control.emit,
      });
  if (loop !== undefined) resources.add(() => loop.dispose());
  const exchangeCodecs = await buildCodecs({
    codecs,
    settings,
    layout: model.layout,
    nodeId,
    log,
    world,
    jobSeed: globals.seed,
    weights: loop?.weights ?? model.initialWeights,
    hasServer: globals.hasServer,
    learningRate: () => loop?.learningRate ?? codecs.learningRate,
  });
  for (const { actor } of exchangeCodecs) resources.add(() => actor.dispose());

  const exchange = new BlockExchange({
    nodeId,
    workers: settings.nodes,
    layout: model.layout,
    codecs: exchangeCodecs,
    policy: isServer
      ? asynchronousSgd()
      : SYNC_POLICIES[codecs.sync]({
          ...settings,
          staleness: codecs.staleness,
        }),
    clock: world.clock,
    syncTimeoutMs: codecs.syncTimeoutMs,
    isConnected: () => world.transport.status === "connected",
    post: (target, message) => mesh.post(target, message),
    onFailure: (error) => failure.set(error),
    log,
  });
  const ledger = new Ledger(
    codecs.variables.map(({ tensor = "", codec, server }) => ({
      codec: (isServer ? server : codec)?.className ?? "",
      tensor,
      values: model.layout.tensors.find(({ name }) => name === tensor)?.size ?? model.layout.size,
    })),
  );
  const mesh = await Mesh.open({
    jobId,
    ledger,
    nodeId,
    nodes: nodesOf(spec),
    transport: world.transport,
    clock: world.clock,
    random: seededRandom(`${world.incarnationSeed}/${nodeToken(nodeId)}`),
    log,
    onBlock: (from, message) => exchange.accept(from, message),
    onFailure: (error) => exchange.fail(error),
  });
  resources.mesh = mesh;
  const ledgerEntries = (): LedgerEntry[] => ledger.entries(mesh.overheadByPeer);
  const ledgerKey = `${resultKey(jobId, nodeId)}/L-${resultTitle(spec, nodeId)}.csv`;
  resources.add(() => world.store.write(ledgerKey, ledgerFile(nodeId, ledgerEntries())));
  failure.onSet((error) => exchange.fail(error));
  resources.add(
    watchConnection({
      transport: world.transport,
      clock: world.clock,
      log,
      onLost: (error) => failure.set(error),
    }),
  );

  control.emit({ type: "ready" });
  await failure.race(control.started);
  await failure.race(mesh.connect());
  log.info("Execution process started.");
  const startedAt = world.clock.now();
  const trained = await failure.race(trainOrServe(loop, exchange, mesh));
  const elapsedMs = world.clock.now() - startedAt;
  await failure.race(mesh.close());
  return {
    steps: trained?.steps ?? 0,
    elapsedMs,
    evaluation: trained?.evaluation,
    modelSha256: trained?.modelSha256,
    bytesSent: mesh.bytesSent,
    bytesReceived: mesh.bytesReceived,
    overheadBytes: mesh.overheadBytes,
    messagesDelivered: exchange.counts.delivered,
    messagesLate: exchange.counts.late,
    staleness: [...exchange.counts.staleness].sort(([a], [b]) => a - b),
    ledger: ledgerEntries(),
  };
}

/** A worker trains; the parameter server answers until all workers have taken their last step. */
async function trainOrServe(
  loop: TrainingLoop | undefined,
  exchange: BlockExchange,
  mesh: Mesh,
): Promise<Trained | undefined> {
  const trained = await loop?.run(exchange, mesh);
  await mesh.finish();
  return trained;
}

/** The first thing that went wrong, from wherever it came; everything awaited is raced against it. */
class Failure {
  readonly #promise: Promise<never>;
  #reject!: (error: Error) => void;
  #listeners: ((error: PsgdError) => void)[] = [];

  constructor(signal: AbortSignal) {
    this.#promise = new Promise<never>((_, reject) => {
      this.#reject = reject;
    });
    // A failure while nothing is awaited is kept, not thrown into the void.
    this.#promise.catch(() => {});
    const onAbort = (): void => this.set(signal.reason as PsgdError);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  }

  set(error: PsgdError): void {
    this.#reject(error);
    for (const listener of this.#listeners) listener(error);
  }

  onSet(listener: (error: PsgdError) => void): void {
    this.#listeners.push(listener);
  }

  race<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#promise]);
  }
}

async function loadPackage<Name extends keyof PackageContents>(
  world: NodeWorld,
  assignment: NodeAssignment,
  name: Name,
): Promise<PackageContents[Name]> {
  const bytes = await world.store.read(packageKey(assignment.packages[name]));
  if (bytes === undefined)
    throw new PsgdError("STORE_FAILED", `${name}: expected it in the worker's cache, got nothing`);
  return unpackPackage(name, bytes);
}

function settingsOf(values: GlobalSettingPackage): GlobalSettings {
  return createSettings({
    assignment: ASSIGNMENTS[values.blockAssignment](values),
    batchSize: values.batchSize,
    stepCount: values.stepCount,
    parameters: values.parameters,
    seed: values.seed,
  });
}

/** What the parameter server runs for a tensor that nobody sends it. */
class SilentCodec extends Codec {}

async function buildCodecs(options: {
  readonly codecs: CodecAndSgdPackage;
  readonly settings: GlobalSettings;
  readonly layout: TensorLayout;
  readonly nodeId: NodeId;
  readonly log: Logger;
  readonly world: NodeWorld;
  readonly jobSeed: number;
  readonly weights: Float32Array;
  readonly hasServer: boolean;
  readonly learningRate: () => number;
}): Promise<ExchangeCodec[]> {
  const { codecs, settings, layout, nodeId, log, world, weights } = options;
  const isServer = nodeId === PARAMETER_SERVER;
  const classes = await Promise.all(
    codecs.variables.map(async ({ codec, server }): Promise<CodecClass> => {
      const ref = isServer ? server : codec;
      if (ref === undefined) return SilentCodec;
      const source = codecs.modules[ref.module]!;
      return loadCodecClass({ className: ref.className, source }, world.loadModule);
    }),
  );
  return codecs.variables.map((variable, variableId) => {
    const codecClass = classes[variableId]!;
    const tensor = layout.tensors.find(({ name }) => name === variable.tensor);
    const view =
      tensor === undefined ? weights : weights.subarray(tensor.offset, tensor.offset + tensor.size);
    const report = (message: string): string => `Codec: ${codecClass.name}, Report: ${message}.`;
    const codec = constructCodec(codecClass, {
      nodeId,
      settings,
      layout: tensor === undefined ? layout : layoutOfTensor(tensor),
      random: seededRandom(`${options.jobSeed}/${nodeToken(nodeId)}/codec-${variableId}`),
      log: {
        info: (message) => log.info(report(message)),
        warn: (message) => log.warn(report(message)),
        error: (message) => log.error(report(message)),
      },
      currentWeights: () => view,
      learningRate: options.learningRate,
    });
    const actor = new CodecActor({
      codec,
      nodeCount: settings.nodeCount,
      hasServer: options.hasServer,
      clock: world.clock,
      callTimeoutMs: codecs.codecTimeoutMs,
    });
    return { actor, tensor };
  });
}

interface NodeLog extends Logger {
  flush(): Promise<void>;
}

/** The node's log: to its worker's console at once, and to its file. */
function openLog(assignment: NodeAssignment, world: NodeWorld, control: NodeControl): NodeLog {
  const { jobId, nodeId } = assignment;
  const time = world.clock.wallTime().toTimeString().slice(0, 8).replaceAll(":", "-");
  const key = `${resultKey(jobId, nodeId)}/Training log @ ${nodeToken(nodeId)}_${time}.log`;
  let tail: Promise<void> = Promise.resolve();
  const write = (line: string): void => {
    control.emit({ type: "log", line });
    tail = tail.then(() => world.store.append(key, new TextEncoder().encode(`${line}\n`)));
    // Reported by flush, where somebody waits for it.
    tail.catch(() => {});
  };
  const log = world.logger(write, nodeId);
  log.info(`Job submission received. Node assigned node_id(${nodeId})`);
  return {
    info: (m) => log.info(m),
    warn: (m) => log.warn(m),
    error: (m) => log.error(m),
    flush: () => tail,
  };
}

async function closeWithin(mesh: Mesh, world: NodeWorld, ms: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const cancel = world.clock.setTimer(ms, resolve);
    void mesh.close().finally(() => {
      cancel();
      resolve();
    });
  });
}
