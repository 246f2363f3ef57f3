import { PsgdError, type Carries, type CodecClass, type Returns } from "@psgd/core";
import { OPTIMIZERS, type OptimizerName } from "./registry.js";

/** A codec, its server codec and an optimizer that mean the same thing by the vectors they exchange. */
export interface Pairing {
  readonly optimizer: OptimizerName;
  readonly server: CodecClass | undefined;
  readonly carries: Carries;
}

export interface PairingRequest {
  readonly codec: CodecClass;
  /** Instead of the server that the codec declares. */
  readonly serverCodec?: CodecClass | undefined;
  /** Instead of the first optimizer that fits. */
  readonly optimizer?: string | undefined;
}

/**
 * Completes what a job leaves open, and refuses what does not fit together: a wrong pairing trains garbage without
 * any other sign. A codec that carries "any" goes along with its server, or else with the optimizer. What results mean
 * is declared by the codec, or else by its server, or else follows from what is carried.
 *
 * @throws {PsgdError} PAIRING_INVALID if the three disagree; SETTINGS_INVALID if there is no such optimizer
 */
export function resolvePairing(request: PairingRequest): Pairing {
  const { codec } = request;
  const server = request.serverCodec ?? codec.server;
  requireDeclared(codec);
  if (server !== undefined) {
    requireDeclared(server);
    requireAgreement(codec, server);
  }

  const carries = concrete(codec.carries) ?? concrete(server?.carries);
  const returns = codec.returns ?? server?.returns ?? carries;
  const fitting = OPTIMIZER_NAMES.filter((name) => fits(name, carries, returns));
  const pair = server === undefined ? codec.name : `${codec.name} with ${server.name}`;
  const expected = `one that carries ${carries ?? "anything"} and returns ${returns ?? "the same"}`;

  if (request.optimizer === undefined) {
    const [first] = fitting;
    if (first !== undefined)
      return { optimizer: first, server, carries: OPTIMIZERS[first].carries };
    throw new PsgdError(
      "PAIRING_INVALID",
      `optimizer for codec ${pair}: expected ${expected}, got none in ${OPTIMIZER_NAMES.join(", ")}; ` +
        "let the codec return what it carries, or carry gradients and return the displacement from the initial weights",
    );
  }
  const chosen = requireOptimizer(request.optimizer);
  if (!fitting.includes(chosen)) {
    const { carries: got, returns: gotReturns } = OPTIMIZERS[chosen];
    throw new PsgdError(
      "PAIRING_INVALID",
      `optimizer \`${chosen}\`: expected ${expected}, got one that carries ${got} and returns ${gotReturns}; codec ${pair}; ` +
        (fitting.length === 0
          ? "no optimizer fits this codec"
          : `use \`--optimizer ${fitting.join("` or `--optimizer ")}\``),
    );
  }
  return { optimizer: chosen, server, carries: OPTIMIZERS[chosen].carries };
}

const OPTIMIZER_NAMES = Object.keys(OPTIMIZERS) as OptimizerName[];

function fits(
  name: OptimizerName,
  carries: Carries | undefined,
  returns: Returns | undefined,
): boolean {
  const rule = OPTIMIZERS[name];
  return (
    (carries === undefined || rule.carries === carries) &&
    (returns === undefined || rule.returns === returns)
  );
}

function concrete(carries: Carries | "any" | undefined): Carries | undefined {
  return carries === "any" ? undefined : carries;
}

function requireOptimizer(name: string): OptimizerName {
  const found = OPTIMIZER_NAMES.find((known) => known === name);
  if (found !== undefined) return found;
  throw new PsgdError(
    "SETTINGS_INVALID",
    `optimizer: expected one of ${OPTIMIZER_NAMES.join(", ")}, got "${name}"; set it with \`--optimizer\``,
  );
}

/** Codecs may be plain JavaScript: a misspelt declaration must not pass for none. */
function requireDeclared(codec: CodecClass): void {
  const carries: unknown = codec.carries;
  if (carries !== "gradients" && carries !== "weights" && carries !== "any") {
    throw new PsgdError(
      "PAIRING_INVALID",
      `static \`carries\` of ${codec.name}: expected "gradients", "weights" or "any", got ${printed(carries)}`,
    );
  }
  const returns: unknown = codec.returns;
  if (![undefined, "gradients", "weights", "displacement"].includes(returns as undefined)) {
    throw new PsgdError(
      "PAIRING_INVALID",
      `static \`returns\` of ${codec.name}: expected "gradients", "weights", "displacement" or nothing, got ${printed(returns)}`,
    );
  }
}

function requireAgreement(codec: CodecClass, server: CodecClass): void {
  const remedy =
    codec.server !== undefined && codec.server !== server
      ? `; use \`--server-codec\` with ${codec.server.name}`
      : "";
  const carries = [concrete(codec.carries), concrete(server.carries)] as const;
  if (carries[0] !== undefined && carries[1] !== undefined && carries[0] !== carries[1]) {
    throw new PsgdError(
      "PAIRING_INVALID",
      `server codec ${server.name}: expected one that carries ${carries[0]}, as codec ${codec.name} does, ` +
        `got one that carries ${carries[1]}${remedy}`,
    );
  }
  if (
    codec.returns !== undefined &&
    server.returns !== undefined &&
    codec.returns !== server.returns
  ) {
    throw new PsgdError(
      "PAIRING_INVALID",
      `server codec ${server.name}: expected one that returns ${codec.returns}, as codec ${codec.name} does, ` +
        `got one that returns ${server.returns}${remedy}`,
    );
  }
}

function printed(value: unknown): string {
  return value === undefined ? "none" : JSON.stringify(value);
}
