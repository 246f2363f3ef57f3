import { Codec, isPsgdError, type Carries, type CodecClass, type Returns } from "@psgd/core";
import { describe, expect, it } from "vitest";
import { resolvePairing, type PairingRequest } from "./pairing.js";

function codec(
  name: string,
  carries: Carries | "any",
  declared: { returns?: Returns; server?: CodecClass } = {},
): CodecClass {
  const made = class extends Codec {
    static override readonly carries = carries;
  };
  Object.defineProperty(made, "name", { value: name });
  return Object.assign(made, declared);
}

function refusal(request: PairingRequest): string {
  try {
    resolvePairing(request);
  } catch (error) {
    return (error as Error).message;
  }
  return "no refusal";
}

const averagingServer = codec("AveragingServer", "weights");
const differenceServer = codec("DifferenceServer", "gradients");
const gradientPeer = codec("GradientPeer", "gradients");
const weightClient = codec("WeightClient", "weights", { server: averagingServer });
const anyClient = codec("AnyClient", "any", { server: differenceServer });

describe("pairing of codec, server codec and optimizer", () => {
  it("takes what the codec declares", () => {
    expect(resolvePairing({ codec: gradientPeer })).toEqual({
      optimizer: "parallel_sgd",
      server: undefined,
      carries: "gradients",
    });
    expect(resolvePairing({ codec: weightClient })).toEqual({
      optimizer: "parameter_averaging",
      server: averagingServer,
      carries: "weights",
    });
  });

  it("picks gradient_averaging where codec or server returns a displacement", () => {
    const server = codec("TotalServer", "gradients", { returns: "displacement" });
    expect(resolvePairing({ codec: gradientPeer, serverCodec: server }).optimizer).toBe(
      "gradient_averaging",
    );
    const client = codec("TotalClient", "gradients", { returns: "displacement" });
    expect(resolvePairing({ codec: client }).optimizer).toBe("gradient_averaging");
  });

  it("lets a codec that carries anything go along with its server, or else with the optimizer", () => {
    expect(resolvePairing({ codec: anyClient })).toMatchObject({
      optimizer: "parallel_sgd",
      server: differenceServer,
    });
    expect(resolvePairing({ codec: anyClient, serverCodec: averagingServer })).toEqual({
      optimizer: "parameter_averaging",
      server: averagingServer,
      carries: "weights",
    });
    const anyone = codec("Anyone", "any");
    expect(resolvePairing({ codec: anyone })).toMatchObject({ carries: "gradients" });
    expect(resolvePairing({ codec: anyone, optimizer: "parameter_averaging" })).toMatchObject({
      carries: "weights",
    });
  });

  it("accepts every explicit optimizer that fits", () => {
    for (const optimizer of ["parallel_sgd", "double_buffering"]) {
      expect(resolvePairing({ codec: gradientPeer, optimizer }).optimizer).toBe(optimizer);
    }
  });

  it("refuses an optimizer that carries something else, and names the right ones", () => {
    expect(refusal({ codec: weightClient, optimizer: "parallel_sgd" })).toBe(
      "PAIRING_INVALID: optimizer `parallel_sgd`: expected one that carries weights and returns weights, " +
        "got one that carries gradients and returns gradients; codec WeightClient with AveragingServer; " +
        "use `--optimizer parameter_averaging`",
    );
    expect(refusal({ codec: gradientPeer, optimizer: "gradient_averaging" })).toMatch(
      /use `--optimizer parallel_sgd` or `--optimizer double_buffering`$/,
    );
  });

  it("refuses a server that carries something else, and names the codec's own", () => {
    expect(refusal({ codec: weightClient, serverCodec: differenceServer })).toBe(
      "PAIRING_INVALID: server codec DifferenceServer: expected one that carries weights, as codec WeightClient does, " +
        "got one that carries gradients; use `--server-codec` with AveragingServer",
    );
  });

  it("refuses a server whose replies mean something else than the codec says", () => {
    const server = codec("TotalServer", "gradients", { returns: "displacement" });
    const client = codec("StepClient", "gradients", { returns: "gradients" });
    expect(refusal({ codec: client, serverCodec: server })).toMatch(
      /^PAIRING_INVALID: server codec TotalServer: expected one that returns gradients/,
    );
  });

  it("refuses a codec that no optimizer fits, with or without an explicit one", () => {
    const odd = codec("Odd", "gradients", { returns: "weights" });
    expect(refusal({ codec: odd })).toMatch(
      /^PAIRING_INVALID: optimizer for codec Odd: .* got none/,
    );
    expect(refusal({ codec: odd, optimizer: "parallel_sgd" })).toMatch(/no optimizer fits/);
  });

  it("refuses an optimizer that does not exist", () => {
    let thrown: unknown;
    try {
      resolvePairing({ codec: gradientPeer, optimizer: "psgdd" });
    } catch (error) {
      thrown = error;
    }
    expect(isPsgdError(thrown, "SETTINGS_INVALID")).toBe(true);
    expect(String(thrown)).toContain("parallel_sgd, gradient_averaging, parameter_averaging");
  });

  it("refuses a misspelt declaration instead of taking it for none", () => {
    const misspelt = codec("Misspelt", "gradient" as Carries);
    expect(refusal({ codec: misspelt })).toBe(
      'PAIRING_INVALID: static `carries` of Misspelt: expected "gradients", "weights" or "any", got "gradient"',
    );
    const odd = codec("Odd", "any", { returns: "delta" as Returns });
    expect(refusal({ codec: odd })).toMatch(/static `returns` of Odd: .* got "delta"/);
  });
});
