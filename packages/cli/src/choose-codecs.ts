import { readFile } from "node:fs/promises";
import { PsgdError, type TensorLayout } from "@psgd/core";
import { moduleLoader, type CodecRef, type JobSpec, type VariableCodec } from "@psgd/runtime";
import { resolvePairing } from "@psgd/sgd";
import { loadCodecFile, serverOf, type LoadedCodec } from "./codec-file.js";
import { watched, watchedLoad } from "./call-watch.js";
import { bundleDirectory } from "./compose.js";

/** Which codecs a job asks for. */
export interface CodecRequest {
  readonly codec: string;
  /** Path of a JSON file, tensor name → FILE.CLASS, instead of `codec`. */
  readonly codecMap: string | undefined;
  readonly serverCodec: string | undefined;
  readonly perTensor: boolean;
  readonly optimizer: string | undefined;
}

/** The codecs of a job: one for the model, or one for each tensor. */
export interface ChosenCodecs {
  readonly codec: string;
  readonly serverCodec: string | undefined;
  readonly codecMap: Readonly<Record<string, string>> | undefined;
  readonly optimizer: JobSpec["optimizer"];
  /**
   * One of the whole model, or one of each tensor.
   * @throws {PsgdError} SETTINGS_INVALID if the map names a tensor that the model does not have
   */
  pairsFor(layout: TensorLayout): readonly TensorPair[];
  /** The same, ready to travel. */
  variablesFor(layout: TensorLayout): {
    modules: readonly string[];
    variables: readonly VariableCodec[];
  };
}

/** The codecs of a tensor, or of the whole model. */
export interface TensorPair {
  readonly tensor: string | undefined;
  readonly paired: Paired;
}

/** What tensors get that a map does not name: after the original, nothing is exchanged for them. */
const UNNAMED = "dummy.DummyCodec";

/** A codec and the server it is to be run with. */
export interface Paired {
  readonly codec: LoadedCodec;
  readonly server: LoadedCodec | undefined;
  readonly optimizer: JobSpec["optimizer"];
}

/**
 * Loads the codecs and completes what the user left open from what they declare.
 * @throws {PsgdError} CODEC_LOAD_FAILED, PAIRING_INVALID, SETTINGS_INVALID
 */
export async function chooseCodecs(request: CodecRequest): Promise<ChosenCodecs> {
  if (request.codecMap !== undefined)
    return chooseByMap(request, await readCodecMap(request.codecMap));
  const paired = await pairCodecs(request.codec, request);
  const pairsFor = (layout: TensorLayout): readonly TensorPair[] => {
    const tensors = request.perTensor ? layout.tensors.map(({ name }) => name) : [undefined];
    return tensors.map((tensor) => ({ tensor, paired }));
  };
  return {
    codec: paired.codec.name,
    serverCodec: paired.server?.name,
    codecMap: undefined,
    optimizer: paired.optimizer,
    pairsFor,
    variablesFor: (layout) => packVariables(pairsFor(layout)),
  };
}

async function chooseByMap(
  request: CodecRequest,
  map: Readonly<Record<string, string>>,
): Promise<ChosenCodecs> {
  const pairs = new Map<string, Paired>();
  for (const spec of new Set([...Object.values(map), map["*"] ?? UNNAMED]))
    pairs.set(spec, await pairCodecs(spec, request));
  const optimizers = new Map(
    [...pairs.values()].map(({ codec, optimizer }) => [optimizer, codec.name]),
  );
  const [first, second] = optimizers;
  if (first === undefined || second !== undefined) {
    throw new PsgdError(
      "PAIRING_INVALID",
      `codec map: expected codecs of one optimizer, got ${[...optimizers].map(([optimizer, codec]) => `${codec} (${optimizer})`).join(" and ")}; ` +
        "all tensors of a job carry the same, gradients or weights; give `--optimizer` if one of them goes along with either",
    );
  }
  const servers = new Set([...pairs.values()].flatMap(({ server }) => server?.name ?? []));
  const pairsFor = (layout: TensorLayout): readonly TensorPair[] => {
    requireTensors(map, layout);
    return layout.tensors.map(({ name }) => ({
      tensor: name,
      paired: pairs.get(map[name] ?? map["*"] ?? UNNAMED)!,
    }));
  };
  return {
    codec: "codec-map",
    serverCodec: servers.size === 0 ? undefined : [...servers].join("+"),
    codecMap: map,
    optimizer: first[0],
    pairsFor,
    variablesFor: (layout) => packVariables(pairsFor(layout)),
  };
}

/**
 * Loads a codec and its server: the one asked for, else the one it declares.
 * @throws {PsgdError} CODEC_LOAD_FAILED, PAIRING_INVALID, SETTINGS_INVALID
 */
export async function pairCodecs(
  spec: string,
  request: Pick<CodecRequest, "serverCodec" | "optimizer">,
): Promise<Paired> {
  const load = moduleLoader(bundleDirectory());
  const loadModule: typeof load = (source) => watchedLoad(() => load(source));
  const codec = await loadCodecFile(spec, loadModule);
  requireCodecOfNodes(spec, codec);
  const explicit =
    request.serverCodec === undefined
      ? undefined
      : await loadCodecFile(request.serverCodec, loadModule);
  const pairing = resolvePairing({
    codec: codec.codecClass,
    serverCodec: explicit?.codecClass,
    optimizer: request.optimizer,
  });
  const server =
    explicit ?? (pairing.server === undefined ? undefined : serverOf(codec, pairing.server));
  return {
    codec: { ...codec, codecClass: watched(codec.codecClass) },
    server: server && { ...server, codecClass: watched(server.codecClass) },
    optimizer: pairing.optimizer,
  };
}

/** @throws {PsgdError} PAIRING_INVALID for a server's codec in the place of its client's: nobody would ever say anything */
function requireCodecOfNodes(spec: string, { name, codecClass, exported }: LoadedCodec): void {
  const client = exported.find(
    (each) => each.codecClass !== codecClass && each.codecClass.server === codecClass,
  );
  if (client === undefined || !onlyAnswers(codecClass)) return;
  const instead = `${spec.slice(0, spec.lastIndexOf("."))}.${client.name}`;
  throw new PsgdError(
    "PAIRING_INVALID",
    `codec ${name}: expected one of the nodes, got one of the parameter server: it has no \`updateBlocks\`, and ${client.name} names it as its server; give \`${instead}\`, which brings it along`,
  );
}

/** Whether what the class does with a block is what `Codec` does, of which each bundle has a copy: nothing. */
function onlyAnswers({ prototype }: { readonly prototype: unknown }): boolean {
  let owner = prototype as object;
  while (!Object.hasOwn(owner, "updateBlocks")) owner = Object.getPrototypeOf(owner) as object;
  return owner !== prototype && Object.getPrototypeOf(Object.getPrototypeOf(owner)) === null;
}

/** Sends each bundle once, however many tensors use it. */
function packVariables(chosen: readonly TensorPair[]): {
  modules: readonly string[];
  variables: readonly VariableCodec[];
} {
  const modules: string[] = [];
  const refer = ({ source }: LoadedCodec): CodecRef => {
    if (!modules.includes(source.source)) modules.push(source.source);
    return { className: source.className, module: modules.indexOf(source.source) };
  };
  const variables = chosen.map(({ tensor, paired: { codec, server } }) => ({
    tensor,
    codec: refer(codec),
    server: server === undefined ? undefined : refer(server),
  }));
  return { modules, variables };
}

function requireTensors(map: Readonly<Record<string, string>>, layout: TensorLayout): void {
  const names = layout.tensors.map(({ name }) => name);
  const unknown = Object.keys(map).filter((name) => name !== "*" && !names.includes(name));
  if (unknown.length === 0) return;
  throw new PsgdError(
    "SETTINGS_INVALID",
    `codec map: expected tensors among ${names.join(", ")}, or \`*\`, got ${unknown.join(", ")}`,
  );
}

async function readCodecMap(path: string): Promise<Readonly<Record<string, string>>> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw new PsgdError(
      "SETTINGS_INVALID",
      `${path}: expected a JSON file, got ${(cause as Error).message}`,
      { cause },
    );
  }
  const isMap =
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((spec) => typeof spec === "string");
  if (isMap) return value as Record<string, string>;
  throw new PsgdError(
    "SETTINGS_INVALID",
    `${path}: expected an object from tensor names to FILE.CLASS, got ${JSON.stringify(value)}`,
  );
}
