import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, afterAll, describe, expect, it } from "vitest";
import { moduleLoader } from "@psgd/runtime";
import { loadCodecFile, serverOf, type LoadedCodec } from "./codec-file.js";
import {
  CODEC_IMPORT,
  codecSource,
  workDirectory,
  type WorkDirectory,
} from "./work-directory.fixture.js";

let work: WorkDirectory;
beforeAll(async () => {
  work = await workDirectory({
    "one.ts": CODEC_IMPORT + codecSource("OnlyOne"),
    "two.js": CODEC_IMPORT + codecSource("First") + codecSource("Second"),
    "pair.ts": CODEC_IMPORT + codecSource("Server") + codecSource("Client", { server: "Server" }),
    "default.ts": `${CODEC_IMPORT}export default class Named extends Codec {}`,
    "twice.ts": `${CODEC_IMPORT}export class Both extends Codec {}\nexport default Both;`,
    "capitals.ts": CODEC_IMPORT + codecSource("abc") + codecSource("ABC"),
    "hidden.ts":
      `${CODEC_IMPORT}class Hidden extends Codec {}` + codecSource("Client", { server: "Hidden" }),
    "comments.ts": "// nothing but words\n",
    "no-codec.ts": "export class A {}\nexport const b = 1;\n",
    "thrower.ts": 'throw new Error("no luck");\nexport class A {}\n',
    "sub/deep.mjs": CODEC_IMPORT + codecSource("Deep"),
  });
  await mkdir(join(work.path, "folder.ts"));
});
afterAll(() => work[Symbol.asyncDispose]());

const load = (spec: string): Promise<LoadedCodec> =>
  loadCodecFile(spec, moduleLoader(join(work.path, "bundles")));
const loadHere = (file: string): Promise<LoadedCodec> => load(join(work.path, file));

describe("a codec's address", () => {
  it.each([
    ["one.OnlyOne", "one.OnlyOne"],
    ["one", "one.OnlyOne"],
    ["one.ts", "one.OnlyOne"],
    ["one.ts.OnlyOne", "one.OnlyOne"],
    ["one.onlyone", "one.OnlyOne"],
    ["two.Second", "two.Second"],
    ["two.js.first", "two.First"],
    ["sub/deep.Deep", "deep.Deep"],
    ["default.Named", "default.Named"],
    ["default", "default.Named"],
    ["twice", "twice.Both"],
    ["capitals.ABC", "capitals.ABC"],
    ["capitals.abc", "capitals.abc"],
    ["pair", "pair.Client"],
    ["pair.server", "pair.Server"],
  ])("%s names %s", async (spec, name) => {
    expect((await loadHere(spec)).name).toBe(name);
  });

  it("finds a file of the project's codecs wherever the command is started, as the seed spells it", async () => {
    expect((await load("tutorial_codec.myComCtrl")).name).toBe("tutorial_codec.MyComCtrl");
  });

  it("takes of a client and its server the client", async () => {
    expect((await load("fedavg")).name).toBe("fedavg.FedAvgClient");
  });

  it("says under which export a worker finds a default export", async () => {
    expect((await loadHere("default.Named")).source.className).toBe("default");
    expect((await loadHere("twice.Both")).source.className).toBe("Both");
  });

  it.each([
    ["two", "expected one exported class that extends Codec, got First, Second", "two.First"],
    [
      "capitals.Abc",
      "expected an exported class Abc that extends Codec, got ABC, abc",
      "did you mean",
    ],
    ["two.Secnod", "got First, Second", "did you mean `Second`?"],
    ["comments", "expected one exported class that extends Codec, got none", "comments.ts"],
    ["no-codec.A", "expected an exported class A that extends Codec, got none", "no-codec.ts"],
    ["thrower.A", "its code threw while it was loaded: no luck", "thrower.ts"],
    ["folder", "expected FILE.CLASS", "looked for"],
    ["noe.OnlyOne", "looked for", "did you mean `one`?"],
  ])("%s is refused", async (spec, ...texts) => {
    const loading = loadHere(spec);
    await expect(loading).rejects.toThrow(/^CODEC_LOAD_FAILED: /);
    for (const text of texts) await expect(loading).rejects.toThrow(text);
  });

  it("suggests a codec of the project", async () => {
    await expect(load("plian.Plain")).rejects.toThrow("did you mean `plain`?");
    await expect(load("plain.Plian")).rejects.toThrow("did you mean `Plain`?");
  });

  it.each(["", " "])("refuses %j without looking anywhere", async (spec) => {
    await expect(load(spec)).rejects.toThrow(
      `CODEC_LOAD_FAILED: codec: expected FILE.CLASS, got "${spec}"; give one, as in`,
    );
  });
});

describe("serverOf", () => {
  it("finds the declared server in the client's bundle", async () => {
    const client = await loadHere("pair.Client");
    const server = serverOf(client, client.codecClass.server!);
    expect(server.name).toBe("pair.Server");
    expect(server.source).toEqual({ className: "Server", source: client.source.source });
  });

  it("refuses one that the file does not export, since no worker could load it", async () => {
    const client = await loadHere("hidden.Client");
    expect(() => serverOf(client, client.codecClass.server!)).toThrow(
      "CODEC_LOAD_FAILED: server of codec hidden.Client: expected an exported class, got Hidden",
    );
  });
});
