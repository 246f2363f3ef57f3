import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { layoutOf } from "@psgd/core";
import { chooseCodecs, pairCodecs, type ChosenCodecs, type CodecRequest } from "./choose-codecs.js";
import {
  CODEC_IMPORT,
  codecSource,
  workDirectory,
  type WorkDirectory,
} from "./work-directory.fixture.js";

const LAYOUT = layoutOf([
  { name: "a/kernel", shape: [2, 3] },
  { name: "a/bias", shape: [3] },
  { name: "b/kernel", shape: [3] },
]);

let work: WorkDirectory;
beforeAll(async () => {
  const pair = (carries: string): string =>
    CODEC_IMPORT +
    codecSource("Server", { carries }) +
    codecSource("OtherServer", { carries }) +
    codecSource("Client", { carries, server: "Server" });
  work = await workDirectory({
    "peer.ts": CODEC_IMPORT + codecSource("Peer"),
    "averager.ts": CODEC_IMPORT + codecSource("Averager", { carries: "weights" }),
    "ps.ts": pair("gradients"),
    "wps.ts": pair("weights"),
    "array.json": "[]",
    "number.json": '{"a/kernel": 1}',
    "broken.json": "{",
  });
  // Bundles are loaded from the cache.
  vi.stubEnv("XDG_CACHE_HOME", join(work.path, "cache"));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await work[Symbol.asyncDispose]();
});

const here = (spec: string): string => join(work.path, spec);

const choose = (request: Partial<CodecRequest>): Promise<ChosenCodecs> =>
  chooseCodecs({
    codec: "plain.Plain",
    codecMap: undefined,
    serverCodec: undefined,
    perTensor: false,
    optimizer: undefined,
    ...request,
  });

/** Chooses by a map of tensor to file and class in the work directory. */
async function chooseByMap(
  map: Readonly<Record<string, string>>,
  request: Partial<CodecRequest> = {},
): Promise<ChosenCodecs> {
  const specs = Object.entries(map).map(([tensor, spec]) => [tensor, here(spec)]);
  const file = await work.write("map.json", JSON.stringify(Object.fromEntries(specs)));
  return choose({ codecMap: file, ...request });
}

describe("the codecs of a job", () => {
  it("are one for the model, with the optimizer that fits what it carries", async () => {
    const gradients = await choose({ codec: here("peer.Peer") });
    expect(gradients).toMatchObject({
      codec: "peer.Peer",
      serverCodec: undefined,
      optimizer: "parallel_sgd",
    });
    const { modules, variables } = gradients.variablesFor(LAYOUT);
    expect(modules).toHaveLength(1);
    expect(variables).toEqual([
      { tensor: undefined, codec: { className: "Peer", module: 0 }, server: undefined },
    ]);
    const weights = await choose({ codec: here("averager.Averager") });
    expect(weights.optimizer).toBe("parameter_averaging");
  });

  it("are one for each tensor if asked for, whose bundle travels once", async () => {
    const chosen = await choose({ codec: here("peer"), perTensor: true });
    const { modules, variables } = chosen.variablesFor(LAYOUT);
    expect(modules).toHaveLength(1);
    expect(variables.map(({ tensor }) => tensor)).toEqual(["a/kernel", "a/bias", "b/kernel"]);
  });

  it("come with the server that the codec declares", async () => {
    const chosen = await choose({ codec: here("ps.Client") });
    expect(chosen.serverCodec).toBe("ps.Server");
    expect(chosen.variablesFor(LAYOUT).variables[0]).toMatchObject({
      codec: { className: "Client", module: 0 },
      server: { className: "Server", module: 0 },
    });
  });

  it("come with the server that is named instead", async () => {
    const chosen = await choose({ codec: here("ps.Client"), serverCodec: here("ps.OtherServer") });
    expect(chosen.serverCodec).toBe("ps.OtherServer");
    const same = await choose({ codec: here("ps.Client"), serverCodec: here("ps.Server") });
    expect(same.serverCodec).toBe("ps.Server");
  });

  it("are not the server's in the place of its client's, unless it works on nodes, too", async () => {
    const file = await work.write(
      "answering.ts",
      `${CODEC_IMPORT}
      export class Answers extends Codec {
        static carries = "gradients";
        receiveBlocks(content) { this.setResult(content); }
      }
      ${codecSource("Asks", { server: "Answers" })}`,
    );
    await expect(choose({ codec: `${file}.answers` })).rejects.toThrow(
      `PAIRING_INVALID: codec answering.Answers: expected one of the nodes, got one of the parameter server: it has no \`updateBlocks\`, and Asks names it as its server; give \`${file}.Asks\`, which brings it along`,
    );
    expect((await choose({ codec: here("ps.Server") })).codec).toBe("ps.Server");
  });

  it("are refused when they do not carry the same, or what the optimizer wants", async () => {
    await expect(
      choose({ codec: here("ps.Client"), serverCodec: here("wps.Server") }),
    ).rejects.toThrow(/^PAIRING_INVALID: server codec Server/);
    await expect(choose({ codec: here("peer"), optimizer: "parameter_averaging" })).rejects.toThrow(
      /^PAIRING_INVALID: optimizer/,
    );
  });
});

describe("a codec map", () => {
  it("gives tensors their codecs, and the others that of *", async () => {
    const chosen = await chooseByMap({ "a/kernel": "ps.Client", "*": "peer.Peer" });
    expect(chosen).toMatchObject({ codec: "codec-map", serverCodec: "ps.Server" });
    const { modules, variables } = chosen.variablesFor(LAYOUT);
    expect(modules).toHaveLength(2);
    expect(
      variables.map(({ tensor, codec, server }) => [tensor, codec.className, server?.className]),
    ).toEqual([
      ["a/kernel", "Client", "Server"],
      ["a/bias", "Peer", undefined],
      ["b/kernel", "Peer", undefined],
    ]);
  });

  it("exchanges nothing for a tensor it does not name, as the original", async () => {
    const { variables } = (await chooseByMap({ "a/kernel": "peer.Peer" })).variablesFor(LAYOUT);
    expect(variables.map(({ codec }) => codec.className)).toEqual([
      "Peer",
      "DummyCodec",
      "DummyCodec",
    ]);
  });

  it("is refused when its codecs need different optimizers", async () => {
    await expect(
      chooseByMap({ "a/kernel": "peer.Peer", "*": "averager.Averager" }),
    ).rejects.toThrow(
      "PAIRING_INVALID: codec map: expected codecs of one optimizer, got peer.Peer (parallel_sgd) and averager.Averager (parameter_averaging)",
    );
  });

  it("is refused when it names a tensor that the model does not have", async () => {
    const chosen = await chooseByMap({ "c/kernel": "peer.Peer", "*": "peer.Peer" });
    expect(() => chosen.variablesFor(LAYOUT)).toThrow(
      "SETTINGS_INVALID: codec map: expected tensors among a/kernel, a/bias, b/kernel, or `*`, got c/kernel",
    );
  });

  it.each([
    ["array.json", "expected an object from tensor names to FILE.CLASS, got []"],
    ["number.json", 'got {"a/kernel":1}'],
    ["broken.json", "expected a JSON file, got"],
    ["absent.json", "expected a JSON file, got ENOENT"],
  ])("must be one: %s", async (file, fault) => {
    const choosing = choose({ codecMap: here(file) });
    await expect(choosing).rejects.toThrow(/^SETTINGS_INVALID: /);
    await expect(choosing).rejects.toThrow(fault);
  });
});

it.each(
  readdirSync(new URL("../../../codecs", import.meta.url)).filter((name) =>
    /^[a-z_0-9]+\.ts$/.test(name),
  ),
)("%s of the library is found by its name, with the server that it declares", async (name) => {
  const file = name.slice(0, -".ts".length);
  const spec = file === "naive_ps" ? "naive_ps.PSClient" : file;
  const { codec, server } = await pairCodecs(spec, {
    serverCodec: undefined,
    optimizer: undefined,
  });
  expect(server?.codecClass).toBe(codec.codecClass.server);
});
