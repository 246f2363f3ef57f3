import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { PsgdError, type PlanDType } from "@psgd/core";
import type { OnnxSession, OnnxTensor, OnnxTensors, OpenSession } from "./onnx-session.js";

/**
 * The only file that knows the functions onnxruntime-web's WebAssembly exports (1.30.0, the exact version matters;
 * source: its `lib/wasm/wasm-core-impl.ts`). Its public API makes promises of calls that are synchronous in the build
 * for the CPU, and copies through memory it allocates at each run; here that memory is made once.
 *
 * Numbers that stand for memory are addresses in `HEAPU8`, which is another array after the memory has grown.
 */
interface Runtime {
  readonly HEAPU8: Uint8Array;
  readonly HEAPU32: Uint32Array;
  _malloc(byteCount: number): number;
  _free(address: number): void;
  UTF8ToString(address: number): string;
  stringToUTF8(text: string, address: number, maxByteCount: number): void;
  _OrtInit(threads: number, logLevel: number): number;
  _OrtGetLastError(codeAddress: number, messageAddress: number): number;
  _OrtCreateSessionOptions(
    graphOptimizationLevel: number,
    hasMemoryArena: boolean,
    hasMemoryPattern: boolean,
    executionMode: number,
    isProfiled: boolean,
    profileAddress: number,
    logIdAddress: number,
    logLevel: number,
    logVerbosity: number,
    optimizedModelAddress: number,
  ): number;
  _OrtReleaseSessionOptions(options: number): number;
  _OrtCreateSession(model: number, byteCount: number, options: number): number;
  _OrtReleaseSession(session: number): number;
  _OrtCreateTensor(
    type: number,
    data: number,
    byteCount: number,
    dims: number,
    rank: number,
    location: number,
  ): number;
  _OrtReleaseTensor(tensor: number): number;
  _OrtRun(
    session: number,
    inputNames: number,
    inputs: number,
    inputCount: number,
    outputNames: number,
    outputCount: number,
    outputs: number,
    options: number,
  ): number;
}

const MODULE = "onnxruntime-web/ort-wasm-simd-threaded.mjs";
const ALL_OPTIMIZATIONS = 99;
/** Errors are thrown; what is only logged (dead constants, say) is nothing that anybody can act on. */
const LOG_LEVEL = 4;
const ON_CPU = 1;
const NONE = 0;
const ADDRESS_BYTES = 4;
/** The numbers of ONNX's TensorProto.DataType. */
const TYPE_NUMBERS = { float32: 1, int32: 6, bool: 9 } as const satisfies Record<PlanDType, number>;

let loading: Promise<OpenSession> | undefined;

/**
 * Loads the WebAssembly, once a process (about 0.2 s, 50 MB).
 * @throws {PsgdError} BACKEND_UNAVAILABLE
 */
export function loadWasmSessions(): Promise<OpenSession> {
  loading ??= load().catch((cause: unknown) => {
    loading = undefined;
    throw new PsgdError(
      "BACKEND_UNAVAILABLE",
      `wasm engine: expected the package onnxruntime-web, got "${cause instanceof Error ? cause.message.split("\n")[0] : String(cause)}"; ` +
        "install it with `npm install onnxruntime-web@1.30.0`, or use the onnx engine",
      { cause },
    );
  });
  return loading;
}

async function load(): Promise<OpenSession> {
  const file = createRequire(import.meta.url).resolve(MODULE);
  const { default: start } = (await import(pathToFileURL(file).href)) as {
    readonly default: (options: { readonly numThreads: number }) => Promise<Runtime>;
  };
  const runtime = await start({ numThreads: 1 });
  if (runtime._OrtInit(1, LOG_LEVEL) !== 0) throw lastError(runtime);
  return (model, feeds, fetches) => new WasmSession(runtime, model, feeds, fetches);
}

/** A tensor's place in the WebAssembly's memory. */
interface Bound {
  readonly tensor: OnnxTensor;
  readonly address: number;
}

class WasmSession implements OnnxSession {
  readonly #runtime: Runtime;
  readonly #session: number;
  readonly #feeds: Bounds;
  readonly #fetches: Bounds;

  constructor(runtime: Runtime, model: Uint8Array, feeds: OnnxTensors, fetches: OnnxTensors) {
    this.#runtime = runtime;
    this.#session = openModel(runtime, model);
    this.#feeds = new Bounds(runtime, feeds);
    this.#fetches = new Bounds(runtime, fetches);
  }

  run(): void {
    const feeds = this.#feeds;
    const fetches = this.#fetches;
    feeds.write();
    const fault = this.#runtime._OrtRun(
      this.#session,
      feeds.names,
      feeds.tensors,
      feeds.count,
      fetches.names,
      fetches.count,
      fetches.tensors,
      NONE,
    );
    if (fault !== 0) throw lastError(this.#runtime);
    fetches.read();
  }

  dispose(): void {
    this.#runtime._OrtReleaseSession(this.#session);
    this.#feeds.dispose();
    this.#fetches.dispose();
  }
}

/** Feeds or fetches, with memory of their own in the WebAssembly for as long as the session lives. */
class Bounds {
  /** Addresses of two lists: names and tensors. */
  readonly names: number;
  readonly tensors: number;
  readonly count: number;
  readonly #runtime: Runtime;
  readonly #bound: Bound[] = [];
  readonly #allocated: number[] = [];

  constructor(runtime: Runtime, tensors: OnnxTensors) {
    this.#runtime = runtime;
    const entries = Object.entries(tensors);
    this.count = entries.length;
    this.names = this.#allocate(ADDRESS_BYTES * this.count);
    this.tensors = this.#allocate(ADDRESS_BYTES * this.count);
    entries.forEach(([name, tensor], index) => {
      this.#setAddress(this.names, index, this.#text(name));
      this.#setAddress(this.tensors, index, this.#tensor(tensor));
    });
  }

  /** Copies the callers' memory into the WebAssembly's. */
  write(): void {
    const { HEAPU8 } = this.#runtime;
    for (const { tensor, address } of this.#bound) HEAPU8.set(bytesOf(tensor), address);
  }

  /** Copies the WebAssembly's memory into the callers'. */
  read(): void {
    const { HEAPU8 } = this.#runtime;
    for (const { tensor, address } of this.#bound) {
      const bytes = bytesOf(tensor);
      bytes.set(HEAPU8.subarray(address, address + bytes.length));
    }
  }

  dispose(): void {
    const { HEAPU32 } = this.#runtime;
    for (let index = 0; index < this.count; index++)
      this.#runtime._OrtReleaseTensor(HEAPU32[this.tensors / ADDRESS_BYTES + index]!);
    for (const address of this.#allocated) this.#runtime._free(address);
  }

  #tensor(tensor: OnnxTensor): number {
    const { type, dims } = tensor;
    const byteCount = dims.reduce((product, extent) => product * extent, type === "bool" ? 1 : 4);
    const address = this.#allocate(byteCount);
    this.#bound.push({ tensor, address });
    const shape = this.#allocate(ADDRESS_BYTES * dims.length);
    dims.forEach((extent, axis) => this.#setAddress(shape, axis, extent));
    const handle = this.#runtime._OrtCreateTensor(
      TYPE_NUMBERS[type],
      address,
      byteCount,
      shape,
      dims.length,
      ON_CPU,
    );
    if (handle === 0) throw lastError(this.#runtime);
    return handle;
  }

  #text(text: string): number {
    const maxByteCount = 4 * text.length + 1;
    const address = this.#allocate(maxByteCount);
    this.#runtime.stringToUTF8(text, address, maxByteCount);
    return address;
  }

  #setAddress(list: number, index: number, address: number): void {
    this.#runtime.HEAPU32[list / ADDRESS_BYTES + index] = address;
  }

  #allocate(byteCount: number): number {
    const address = allocate(this.#runtime, byteCount);
    this.#allocated.push(address);
    return address;
  }
}

function openModel(runtime: Runtime, model: Uint8Array): number {
  const options = runtime._OrtCreateSessionOptions(
    ALL_OPTIMIZATIONS,
    true,
    true,
    NONE,
    false,
    NONE,
    NONE,
    LOG_LEVEL,
    NONE,
    NONE,
  );
  if (options === 0) throw lastError(runtime);
  const bytes = allocate(runtime, model.length);
  runtime.HEAPU8.set(model, bytes);
  const session = runtime._OrtCreateSession(bytes, model.length, options);
  const error = session === 0 ? lastError(runtime) : undefined;
  runtime._free(bytes);
  runtime._OrtReleaseSessionOptions(options);
  if (error !== undefined) throw error;
  return session;
}

function allocate(runtime: Runtime, byteCount: number): number {
  const address = runtime._malloc(Math.max(1, byteCount));
  if (address === 0) throw new Error(`no memory for ${byteCount} bytes`);
  return address;
}

function lastError(runtime: Runtime): Error {
  const address = allocate(runtime, 2 * ADDRESS_BYTES);
  runtime._OrtGetLastError(address, address + ADDRESS_BYTES);
  const message = runtime.HEAPU32[address / ADDRESS_BYTES + 1]!;
  runtime._free(address);
  return new Error(message === 0 ? "an error without a message" : runtime.UTF8ToString(message));
}

function bytesOf({ data }: OnnxTensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
