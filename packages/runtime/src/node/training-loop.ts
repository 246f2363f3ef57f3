import { createHash } from "node:crypto";
import { PsgdError, nodeName, type BlockWeight, type NodeId } from "@psgd/core";
import { BlockSampler, fillBatch } from "@psgd/data";
import { GRADIENT_DESCENTS, OPTIMIZERS, Optimizer, type BlockExchange } from "@psgd/sgd";
import type { CodecAndSgdPackage, NodeSummary } from "../job.js";
import { resultKey } from "../worker-store.js";
import type { Mesh } from "./mesh.js";
import type { NodeEvent } from "./node-world.js";
import type { Held } from "./shared-values.js";
import type { Trace } from "./trace.js";
import { prepareMaterial, type MaterialParts, type TrainingMaterial } from "./training-material.js";

/** Progress is told this often, not at every step. */
const PROGRESS_INTERVAL_MS = 250;

/** Others of the event loop wait so long at most, beside one step. */
const TURN_INTERVAL_MS = 10;

interface Prepared extends TrainingLoopParts {
  readonly nodeId: NodeId;
  readonly held: Held<TrainingMaterial>;
  readonly sampler: BlockSampler;
  readonly optimizer: Optimizer;
  readonly weights: Float32Array;
}

export interface TrainingLoopParts extends MaterialParts {
  readonly codecs: CodecAndSgdPackage;
  readonly trace: Trace;
  readonly emit: (event: NodeEvent) => void;
}

/** What training leaves behind. */
export type Trained = Pick<NodeSummary, "steps" | "evaluation" | "modelSha256">;

/** The steps of one worker: compute blocks, exchange them, apply the result; evaluate after each epoch. */
export class TrainingLoop {
  readonly #parts: Prepared;
  readonly #x: Float32Array;
  readonly #y: Float32Array;
  /** Before and after a run of the training plan; they take turns. */
  #state: Float32Array;
  #nextState: Float32Array;
  #loss: number | undefined;
  #accuracy: number | undefined;
  #startedAt = 0;
  #nextProgressAt = 0;

  private constructor(parts: Prepared) {
    this.#parts = parts;
    const { batchSize } = parts.settings;
    const { trainView } = parts.held.value;
    this.#x = new Float32Array(batchSize * trainView.inputSize);
    this.#y = new Float32Array(batchSize * trainView.targetSize);
    this.#state = parts.model.initialState.slice();
    this.#nextState = this.#state.slice();
  }

  /** Compiles the plans and reads the data, unless another node here has. */
  static async prepare(parts: TrainingLoopParts): Promise<TrainingLoop> {
    const { assignment, world, settings, codecs, model } = parts;
    const { nodeId, packages } = assignment;
    const held = await world.shared.hold(JSON.stringify(packages), () => prepareMaterial(parts));
    const descent = GRADIENT_DESCENTS[codecs.gradientDescent];
    const initialWeights = model.initialWeights.slice();
    return new TrainingLoop({
      ...parts,
      nodeId,
      held,
      sampler: new BlockSampler(held.value.trainView, settings),
      optimizer: new Optimizer({
        rule: OPTIMIZERS[codecs.optimizer],
        createDescent: () => descent.create(model.layout.size, codecs.learningRate),
        initialWeights,
      }),
      weights: initialWeights,
    });
  }

  /** The weights now; changed in place by each step. */
  get weights(): Float32Array {
    return this.#parts.weights;
  }

  get learningRate(): number {
    return this.#parts.optimizer.learningRate;
  }

  async run(exchange: BlockExchange, mesh: Mesh): Promise<Trained> {
    const { nodeId, settings, optimizer, sampler, world, trace, weights } = this.#parts;
    const { stepCount } = settings;
    const { resultDelay } = optimizer.rule;
    this.#startedAt = world.clock.now();
    let lastStep = stepCount - 1;
    let evaluation: Evaluation | undefined;
    let awaitedStep: number | undefined;
    let turnAt = this.#startedAt;
    const takeResult = async (): Promise<void> => {
      if (awaitedStep === undefined) return;
      optimizer.apply(await exchange.pull(awaitedStep), weights);
      awaitedStep = undefined;
      // What was evaluated before is another model.
      evaluation = undefined;
    };
    for (let step = 0; step <= lastStep; step++) {
      await exchange.begin(step);
      const role = exchange.roleIn(step, nodeId);
      if (role === "rest") exchange.rest(step);
      else {
        const blocks = role === "train" ? this.#computeBlocks(step) : undefined;
        // With a delay of one, the result of the step before.
        await takeResult();
        if (blocks === undefined) await exchange.listen(step);
        else {
          this.#toContent(blocks);
          await exchange.push(step, blocks);
        }
        awaitedStep = step;
        await mesh.drained();
        if (resultDelay === 0) await takeResult();
        if (blocks !== undefined) await this.#traceStep(step, mesh);
        // Lets frames in and out: a codec that needs nobody would never give the event loop a turn. Not in each step:
        // nodes that share a thread would take turns, and drive each other's weights out of the processor's cache.
        if (world.clock.now() - turnAt > TURN_INTERVAL_MS) {
          await world.clock.nextTurn();
          turnAt = world.clock.now();
        }
      }
      if ((step + 1) % sampler.stepsPerEpoch === 0 && step < lastStep) {
        evaluation = await this.#endEpoch(step, exchange);
        if (await this.#isEnough(step, evaluation, exchange, mesh)) lastStep = step;
      }
    }
    await takeResult();
    if (exchange.roleIn(lastStep, nodeId) === "rest") {
      // Training has ended before its time: whoever rested has an old model.
      await exchange.listen(lastStep);
      awaitedStep = lastStep;
      await takeResult();
    }
    evaluation ??= await this.#endEpoch(lastStep, exchange);
    this.#tellProgress(lastStep, mesh);
    // Who listened has the model of those who trained.
    if (this.#trainingIn(lastStep, exchange).includes(nodeId)) await this.#writeModel();
    await trace.flush();
    return { steps: lastStep + 1, evaluation, modelSha256: digest(weights) };
  }

  /** Also of a node that has failed, the trace is kept. */
  async dispose(): Promise<void> {
    this.#parts.held.release();
    await this.#parts.trace.flush();
  }

  #computeBlocks(step: number): BlockWeight[] {
    const { settings, nodeId, sampler, weights, model } = this.#parts;
    const { train, trainView } = this.#parts.held.value;
    const blockIds = settings.nodeToBlocks[nodeId]!;
    this.#loss = 0;
    this.#accuracy = 0;
    const blocks = blockIds.map((blockId): BlockWeight => {
      fillBatch(trainView, sampler.rows({ step, blockId }), { x: this.#x, y: this.#y });
      // A new array each time: it becomes the codec's own.
      const content = new Float32Array(model.layout.size);
      const { loss, accuracy } = train.run({ x: this.#x, y: this.#y }, weights, content, {
        state: this.#state,
        nextState: this.#nextState,
        noiseSeed: this.#parts.seed,
        // A block is the same wherever it is computed.
        noiseStep: step * settings.blockCount + blockId,
      });
      [this.#state, this.#nextState] = [this.#nextState, this.#state];
      this.#loss! += loss![0]! / blockIds.length;
      this.#accuracy =
        accuracy === undefined ? undefined : this.#accuracy! + accuracy[0]! / blockIds.length;
      return { content, blockId, step, sampleCount: settings.batchSize, layout: model.layout };
    });
    if (!Number.isFinite(this.#loss)) throw this.#notFinite("loss", this.#loss, step);
    return blocks;
  }

  /** Where nodes rest, also without a target one gives the word to go on: who rests must not run rounds ahead. */
  async #isEnough(
    step: number,
    evaluation: Evaluation | undefined,
    exchange: BlockExchange,
    mesh: Mesh,
  ): Promise<boolean> {
    const { misc, codecs, log, nodeId, settings } = this.#parts;
    const { targetAccuracy } = misc;
    const training = this.#trainingIn(step, exchange);
    const areAllTraining = training.length === settings.nodeCount;
    if (targetAccuracy === undefined && areAllTraining) return false;
    const { accuracy } = evaluation ?? {};
    const own =
      accuracy !== undefined && targetAccuracy !== undefined && accuracy >= targetAccuracy;
    // Asynchronous nodes that all train wait for nobody, also not to learn that they may stop.
    const isEnough =
      codecs.sync === "asgd" && areAllTraining
        ? own
        : await mesh.isEnough(step, nodeId === training[0] ? own : undefined);
    if (isEnough) log.info(`Target accuracy ${targetAccuracy} reached, training ends here.`);
    return isEnough;
  }

  #toContent(blocks: readonly BlockWeight[]): void {
    const { optimizer, weights, settings } = this.#parts;
    for (const { content, blockId, step } of blocks) {
      optimizer.content(content, weights, blockId);
      // Alone, a bad value shows in the next loss; among others it must not leave this node.
      if (settings.nodeCount > 1) this.#requireFinite(content, "gradient", step);
    }
  }

  #requireFinite(values: Float32Array, what: string, step: number): void {
    // x − x is 0 for every finite x and NaN for the others; sums in four lanes, as one would wait for itself.
    let a = 0;
    let b = 0;
    let c = 0;
    let d = 0;
    const end = values.length - (values.length % 4);
    for (let i = 0; i < end; i += 4) {
      a += values[i]! - values[i]!;
      b += values[i + 1]! - values[i + 1]!;
      c += values[i + 2]! - values[i + 2]!;
      d += values[i + 3]! - values[i + 3]!;
    }
    for (let i = end; i < values.length; i++) a += values[i]! - values[i]!;
    if (a + b + c + d === 0) return;
    throw this.#notFinite(
      what,
      values.find((value) => !Number.isFinite(value))!,
      step,
    );
  }

  #notFinite(what: string, value: number, step: number): PsgdError {
    const { nodeId, codecs } = this.#parts;
    return new PsgdError(
      "NOT_FINITE",
      `${what} of step ${step}: expected finite numbers, got ${value}; ${nodeName(nodeId)}, ${codecs.gradientDescent} with learning rate ${codecs.learningRate}; ` +
        "lower `--learn-rate`, or look for such values in the data or in what the codec returns",
      { details: { node: nodeId, step } },
    );
  }

  async #traceStep(step: number, mesh: Mesh): Promise<void> {
    const { trace, sampler, world } = this.#parts;
    const now = world.clock.now();
    trace.step({
      timeSec: (now - this.#startedAt) / 1000,
      epoch: this.#epochOf(step),
      batch: (step % sampler.stepsPerEpoch) + 1,
      batchesPerEpoch: sampler.stepsPerEpoch,
      total: step + 1,
      loss: this.#loss!,
      accuracy: this.#accuracy,
      bytesSent: mesh.bytesSent,
      bytesReceived: mesh.bytesReceived,
    });
    if (now < this.#nextProgressAt) return;
    this.#tellProgress(step, mesh);
    // A node that is killed has left all but its last steps.
    await trace.flush();
  }

  #tellProgress(step: number, mesh: Mesh): void {
    const { world, settings, misc, nodeId, emit } = this.#parts;
    const now = world.clock.now();
    this.#nextProgressAt = now + PROGRESS_INTERVAL_MS;
    const samples = (step + 1) * settings.batchSize * settings.nodeToBlocks[nodeId]!.length;
    emit({
      type: "progress",
      progress: {
        epoch: this.#epochOf(step),
        epochs: misc.epochs,
        step: step + 1,
        stepCount: settings.stepCount,
        loss: this.#loss,
        accuracy: this.#accuracy,
        samplesPerSec: samples / Math.max(1e-3, (now - this.#startedAt) / 1000),
        bytesSent: mesh.bytesSent,
        bytesReceived: mesh.bytesReceived,
      },
    });
  }

  /** Those who trained in a step; if nobody did, the first node speaks for all. */
  #trainingIn(step: number, exchange: BlockExchange): readonly NodeId[] {
    const { nodes } = this.#parts.settings;
    const training = nodes.filter((node) => exchange.roleIn(step, node) === "train");
    return training.length === 0 ? nodes.slice(0, 1) : training;
  }

  /** @returns `undefined` if another node evaluates for this one too */
  async #endEpoch(step: number, exchange: BlockExchange): Promise<Evaluation | undefined> {
    const { trace, log, weights, world, nodeId, settings } = this.#parts;
    this.#requireFinite(weights, "weight", step);
    const training = this.#trainingIn(step, exchange);
    if (training.length < settings.nodeCount && training[0] !== nodeId) return undefined;
    const evaluation = await this.#evaluate();
    trace.evaluation({
      timeSec: (world.clock.now() - this.#startedAt) / 1000,
      epoch: this.#epochOf(step),
      total: step + 1,
      ...evaluation,
    });
    await trace.flush();
    const accuracy =
      evaluation.accuracy === undefined ? "" : `, accuracy: ${evaluation.accuracy.toFixed(4)}`;
    log.info(`Evaluation after step ${step + 1}: Loss: ${evaluation.loss.toFixed(4)}${accuracy}`);
    return evaluation;
  }

  /** Over the whole test set; the last batch is filled up with rows that weigh nothing. */
  async #evaluate(): Promise<Evaluation> {
    const { model, weights, world } = this.#parts;
    const { evaluate, testView } = this.#parts.held.value;
    const size = model.evaluationBatchSize;
    const x = new Float32Array(size * testView.inputSize);
    const y = new Float32Array(size * testView.targetSize);
    const weight = new Float32Array(size);
    const order = testView.order(0);
    let lossSum = 0;
    let correctCount: number | undefined;
    for (let start = 0; start < order.length; start += size) {
      const count = Math.min(size, order.length - start);
      const rows = order.subarray(start, start + count);
      const batch = {
        x: x.subarray(0, count * testView.inputSize),
        y: y.subarray(0, count * testView.targetSize),
      };
      fillBatch(testView, rows, batch);
      weight.fill(1, 0, count).fill(0, count);
      const outputs = evaluate.run({ x, y, weight }, weights, undefined, {
        state: this.#state,
      });
      lossSum += outputs["lossSum"]![0]!;
      const correct = outputs["correctCount"]?.[0];
      if (correct !== undefined) correctCount = (correctCount ?? 0) + correct;
      await world.clock.nextTurn();
    }
    return {
      loss: lossSum / order.length,
      accuracy: correctCount === undefined ? undefined : correctCount / order.length,
    };
  }

  async #writeModel(): Promise<void> {
    const { assignment, world, model, weights } = this.#parts;
    const directory = resultKey(assignment.jobId, assignment.nodeId);
    for (const [path, content] of Object.entries(world.modelFiles(model, weights, this.#state))) {
      await world.store.write(`${directory}/model/${path}`, content);
    }
  }

  #epochOf(step: number): number {
    return Math.floor(step / this.#parts.sampler.stepsPerEpoch) + 1;
  }
}

interface Evaluation {
  readonly loss: number;
  readonly accuracy: number | undefined;
}

function digest(weights: Float32Array): string {
  return createHash("sha256")
    .update(new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength))
    .digest("hex");
}
