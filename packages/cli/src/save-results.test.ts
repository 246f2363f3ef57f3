import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { SILENT, type Logger } from "@psgd/core";
import { diskStore, type NodeRecord, type NodeResults } from "@psgd/runtime";
import { describe, expect, it } from "vitest";
import { saveResults, type SavedResults } from "./save-results.js";
import { workDirectory } from "./work-directory.fixture.js";

const encoder = new TextEncoder();

function results(
  nodeId: number,
  files: Readonly<Record<string, string>>,
  modelSha256: string | undefined = "m",
): NodeResults {
  const record = {
    nodeId,
    state: "done",
    spec: { codec: "plain.Plain" },
    summary: { modelSha256 },
    error: undefined,
  } as unknown as NodeRecord;
  const contents = Object.entries(files).map(([name, content]): [string, Uint8Array] => [
    name,
    encoder.encode(content),
  ]);
  return { record, files: new Map(contents) };
}

const T = "T-N(2)-R(1)-ID(0)-CODEC(plain.Plain).csv";

const save = (
  directory: string,
  jobId: string,
  nodes: readonly NodeResults[],
  log: Logger = SILENT,
): Promise<SavedResults> =>
  saveResults({ jobId, results: nodes, store: diskStore(directory), log, version: "1" });

describe("saving results", () => {
  it("puts traces here, logs into tmp_log, model and manifest into the job's directory, and says so as the seed does", async () => {
    await using work = await workDirectory();
    const lines: string[] = [];
    const log = { ...SILENT, info: (line: string) => void lines.push(line) };
    const logName = "Training log @ node-0_16-53-33.log";
    const saved = await save(
      work.path,
      "j",
      [results(0, { [T]: "rows", [logName]: "log", "model/model.json": "{}" })],
      log,
    );
    expect(saved).toEqual({
      files: [T, `tmp_log/${logName}`, "job-j/model/model.json"],
      manifest: "job-j/manifest.json",
      model: "job-j/model",
    });
    expect(lines).toEqual([
      `Restoring data (${T}) from 0.`,
      `Restoring data (./tmp_log/${logName}) from 0.`,
    ]);
    const manifest: unknown = JSON.parse(await readFile(join(work.path, saved.manifest), "utf8"));
    expect(manifest).toMatchObject({ jobId: "j", spec: { codec: "plain.Plain" } });
  });

  it("never overwrites another job's file", async () => {
    await using work = await workDirectory();
    await save(work.path, "first", [results(0, { [T]: "1" })]);
    const second = await save(work.path, "second", [results(0, { [T]: "2" })]);
    expect(await readFile(join(work.path, T), "utf8")).toBe("1");
    expect(second.files).toEqual([T.replace(".csv", ".second.csv")]);
    expect(await readFile(join(work.path, second.files[0]!), "utf8")).toBe("2");
  });

  it("changes nothing when the same results are saved again", async () => {
    await using work = await workDirectory();
    const nodes = [results(0, { [T]: "1", "model/weights.bin": "w" })];
    const [first, again] = [await save(work.path, "j", nodes), await save(work.path, "j", nodes)];
    expect(again).toEqual(first);
  });

  it("keeps one copy where the same results come twice at once", async () => {
    await using work = await workDirectory();
    const nodes = [results(0, { [T]: "1", "model/weights.bin": "w", "model/model.json": "{}" })];
    const [one, other] = await Promise.all([
      save(work.path, "j", nodes),
      save(work.path, "j", nodes),
    ]);
    expect(other).toEqual(one);
    expect(one.files).toEqual([T, "job-j/model/weights.bin", "job-j/model/model.json"]);
  });

  it("finds a name for a file that has changed under both, and for one without an ending", async () => {
    await using work = await workDirectory();
    const names = [];
    for (const content of ["1", "2", "3", "4"])
      names.push((await save(work.path, "j", [results(0, { "a.b/notes": content })])).files[0]);
    expect(names).toEqual(["a.b/notes", "a.b/notes.j", "a.b/notes.j-2", "a.b/notes.j-3"]);
  });

  it("keeps one model where all nodes have the same, and each where they differ", async () => {
    await using work = await workDirectory();
    const model = { "model/weights.bin": "w" };
    const same = await save(work.path, "same", [results(0, model), results(1, model)]);
    expect(same.files).toEqual(["job-same/model/weights.bin"]);
    const other = await save(work.path, "other", [
      results(0, model),
      results(1, { "model/weights.bin": "x" }, "n"),
    ]);
    expect(other.files).toEqual([
      "job-other/model/weights.bin",
      "job-other/model-node-1/weights.bin",
    ]);
  });

  it("says that the models of the nodes differ, how much, and whose the first is", async () => {
    await using work = await workDirectory();
    const lines: string[] = [];
    const log = { ...SILENT, warn: (line: string) => void lines.push(line) };
    const weights = (...values: number[]) => new Uint8Array(Float32Array.of(...values).buffer);
    const of = (nodeId: number, ...values: number[]): NodeResults => {
      const { record } = results(nodeId, {}, values.join());
      return { record, files: new Map([["model/weights.bin", weights(...values)]]) };
    };
    await save(work.path, "one", [of(0, 3, 4), of(1, 3, 4)], log);
    expect(lines).toEqual([]);
    // ‖(3, 4)‖ = 5; the others are 0.5 and 0.1 away.
    await save(work.path, "three", [of(0, 3, 4), of(1, 3, 4.5), of(2, 3.1, 4)], log);
    expect(lines).toEqual([
      "The nodes have ended on different models: job-three/model is that of node 0; " +
        "the others, up to 10 % of its norm from it: job-three/model-node-1, job-three/model-node-2.",
    ]);
  });

  it.each(["../escape.csv", "/etc/escape.csv", "model/../../../escape"])(
    "writes nothing outside the directory, whatever a worker calls it: %s",
    async (name) => {
      await using work = await workDirectory();
      await expect(
        save(join(work.path, "out"), "j", [results(0, { [name]: "x" })]),
      ).rejects.toThrow(/^STORE_FAILED: key/);
    },
  );
});
