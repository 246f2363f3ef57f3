import { PsgdError, type Plan, type TensorLayout } from "@psgd/core";
import { loadTensorFlow, type TensorFlow } from "../tensorflow.js";
import { validatePlan } from "../validate-plan.js";
import { requireNothingBaked, withShiftedClock } from "./baked-numbers.js";
import { activeRecorder, setActiveRecorder } from "./active-recorder.js";
import { registerControlKernels, unregisterControlKernels } from "./control-flow.js";
import { hookLayers } from "./layer-hooks.js";
import { withKnownRandom } from "./noise-probe.js";
import { createPlanBackend, PLAN_BACKEND, type PlanBackend } from "./plan-backend.js";
import { Recorder } from "./recorder.js";
import type { StepResult, TracedVariable, TraceRequest } from "./trace-request.js";
import { VariableKeeper } from "./variable-keeper.js";

/** A plan and where its state starts. */
export interface TracedStep {
  readonly plan: Plan;
  /** Flat as in `plan.state.layout`. */
  readonly initialState: Float32Array;
}

/**
 * Records the kernels that a step dispatches as a plan. Nothing is computed: kernels yield shapes only, so a trace
 * takes milliseconds. What does not reach an output or gradient is left out; tensors the step captures become
 * constants, and so do JavaScript numbers (a learning rate given as a number, a loop count). The step is run at least
 * twice, so that numbers which are not the same again are found. Random numbers become noise of the plan.
 *
 * The previous backend, the variables and everything global are as before when this returns or throws; variables that
 * the step created have the values they were made with.
 *
 * @throws {PsgdError} PLAN_INVALID if the step uses a kernel that plans do not have, reads a value, assigns or creates
 *   variables it must not, uses numbers that change from call to call, or makes a plan beyond the limits
 */
export function traceStep(request: TraceRequest): TracedStep {
  const tensorflow = loadTensorFlow();
  if (tensorflow.engine().backendNames().includes(PLAN_BACKEND)) {
    throw new PsgdError("PLAN_INVALID", "trace: expected one trace at a time, got a nested one");
  }
  using session = new TraceSession(tensorflow, request);
  const plan =
    withKnownRandom(0.25, () => session.run()) ??
    // The first call found variables, which are state in all later ones.
    withKnownRandom(0.25, () => session.run())!;
  const again = withKnownRandom(0.75, () => withShiftedClock(() => session.run()))!;
  requireNothingBaked(plan, again);
  return { plan: validatePlan(plan), initialState: session.initialState(plan.state.layout) };
}

/** The plan of a step without state, or whose state starts where the caller knows; as {@link traceStep}. */
export function trace(request: TraceRequest): Plan {
  return traceStep(request).plan;
}

/** The time in which TensorFlow.js's kernels are recorded instead of computed. */
class TraceSession implements Disposable {
  readonly #tensorflow: TensorFlow;
  readonly #request: TraceRequest;
  readonly #previousBackend: string;
  readonly #backend: PlanBackend;
  readonly #keeper: VariableKeeper;
  readonly #kernels: readonly string[];
  readonly #hooks: { release: () => void };
  /** State, with the values it starts with. */
  readonly #state: (TracedVariable & { readonly initial: Float32Array })[];

  constructor(tensorflow: TensorFlow, request: TraceRequest) {
    this.#tensorflow = tensorflow;
    this.#request = request;
    this.#state = (request.state ?? []).map(({ name, variable }) => ({
      name,
      variable,
      initial: Float32Array.from(variable.dataSync()),
    }));
    this.#previousBackend = tensorflow.getBackend();
    this.#keeper = new VariableKeeper(tensorflow);
    this.#backend = createPlanBackend(
      tensorflow,
      (dataId, values) => activeRecorder()?.onWrite(dataId, values),
      () => activeRecorder()?.where() ?? `step \`${request.name}\``,
    );
    tensorflow.registerBackend(PLAN_BACKEND, () => this.#backend);
    this.#kernels = tensorflow.getKernelsForBackend("cpu").map(({ kernelName }) => kernelName);
    for (const kernelName of this.#kernels) {
      tensorflow.registerKernel({
        kernelName,
        backendName: PLAN_BACKEND,
        kernelFunc: ({ inputs, attrs }) =>
          activeRecorder()!.record(kernelName, inputs, attrs ?? {}),
      });
    }
    registerControlKernels(tensorflow, PLAN_BACKEND);
    this.#hooks = hookLayers(request.layers ?? []);
    // Setting a backend that initialises synchronously takes effect before its promise resolves.
    void tensorflow.setBackend(PLAN_BACKEND);
  }

  /** Runs the step once. @returns undefined if it used variables that are state from now on */
  run(): Plan | undefined {
    const recorder = new Recorder(this.#tensorflow, this.#backend, this.#request, this.#state);
    setActiveRecorder(recorder);
    const engine = this.#tensorflow.engine();
    const makeVariable = engine.makeVariable.bind(engine);
    engine.makeVariable = (...parts) => {
      const variable = makeVariable(...parts);
      recorder.onVariable(variable);
      return variable;
    };
    let plan: Plan | undefined;
    const found: { variable: Variable; initial: Float32Array | undefined }[] = [];
    try {
      this.#tensorflow.tidy(() => {
        const result: unknown = this.#request.step(recorder.makeInputs(), recorder);
        if (result instanceof Promise) {
          throw new PsgdError("PLAN_INVALID", "trace: expected a synchronous step, got a promise");
        }
        const unknown = this.#unknownVariables(recorder);
        if (unknown.length === 0) plan = recorder.finish(result as StepResult);
        else
          for (const variable of unknown)
            found.push({ variable, initial: recorder.initialValueOf(variable) });
      });
    } finally {
      this.#keeper.restore();
      recorder.release();
      delete (engine as { makeVariable?: unknown }).makeVariable;
      setActiveRecorder(undefined);
    }
    for (const { variable, initial } of found) this.#adopt(variable, initial);
    return plan;
  }

  /** Where the state starts, flat. */
  initialState(layout: TensorLayout): Float32Array {
    const flat = new Float32Array(layout.size);
    this.#state.forEach(({ initial }, index) => flat.set(initial, layout.tensors[index]!.offset));
    return flat;
  }

  [Symbol.dispose](): void {
    this.#hooks.release();
    void this.#tensorflow.setBackend(this.#previousBackend);
    for (const variable of this.#keeper.created()) {
      const state = this.#state.find((entry) => entry.variable === variable);
      if (state === undefined) variable.dispose();
      else variable.assign(this.#tensorflow.tensor(state.initial, variable.shape));
    }
    this.#keeper.restore();
    this.#keeper.release();
    unregisterControlKernels(this.#tensorflow, PLAN_BACKEND);
    for (const kernelName of this.#kernels) {
      this.#tensorflow.unregisterKernel(kernelName, PLAN_BACKEND);
    }
    this.#tensorflow.removeBackend(PLAN_BACKEND);
  }

  /** What the step used or made besides its parameters and state, if it may. */
  #unknownVariables(recorder: Recorder): readonly Variable[] {
    const touched = [...this.#keeper.assigned(), ...this.#keeper.created(), ...recorder.found];
    const unknown = [...new Set(touched)].filter(
      (variable) => !this.#state.some((state) => state.variable === variable),
    );
    const [first] = unknown;
    if (first === undefined || this.#request.findsState === true) return unknown;
    throw new PsgdError(
      "PLAN_INVALID",
      `variable \`${first.name}\`: expected a step that assigns only the state of its plan and creates no variables, ` +
        "got another one; name it among `state`, or make it a weight of a layer",
    );
  }

  /** Makes a variable part of the state. @param initial - of one that the step made */
  #adopt(variable: Variable, initial: Float32Array | undefined): void {
    if (!this.#keeper.created().includes(variable)) {
      this.#state.push({
        name: variable.name,
        variable,
        initial: Float32Array.from(variable.dataSync()),
      });
      return;
    }
    if (initial === undefined) {
      throw new PsgdError(
        "PLAN_INVALID",
        `variable \`${variable.name}\`: expected to be made from one number or from given numbers, ` +
          "got a computed value; make it before the step",
      );
    }
    this.#state.push({ name: variable.name, variable, initial });
    variable.assign(this.#tensorflow.tensor(initial, variable.shape));
    this.#keeper.keep(variable);
  }
}

type Variable = TracedVariable["variable"];
