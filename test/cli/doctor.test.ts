import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startNatsServer } from "../support/nats-server.js";
import { startCli } from "../support/processes.js";

interface Finding {
  readonly what: string;
  readonly isHere: boolean;
  readonly detail: string;
}

async function examine(env: Readonly<Record<string, string>>): Promise<Map<string, Finding>> {
  const home = await mkdtemp(join(tmpdir(), "psgd-doctor-"));
  try {
    await using doctor = startCli("psgd", ["doctor", "--json"], {
      env: { PSGD_DATA_DIR: join(home, "data"), XDG_CACHE_HOME: join(home, "cache"), ...env },
    });
    expect((await doctor.exit()).code, doctor.output).toBe(0);
    const findings = JSON.parse(doctor.stdout) as Finding[];
    return new Map(findings.map((finding) => [finding.what, finding]));
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

test("psgd doctor runs each engine, and says of what is missing how to get it", async () => {
  const found = await examine({ NATS_URL: "nats://127.0.0.1:1" });
  for (const engine of ["onnx", "wasm", "tfjs"]) {
    expect(found.get(`engine ${engine}`)).toMatchObject({ isHere: true });
    expect(found.get(`engine ${engine}`)!.detail).toMatch(/^\d+\.\d+ ms for a step of mlp/);
  }
  for (const engine of ["onnx-cuda", "onnx-webgpu", "tensorflow"]) {
    const { isHere, detail } = found.get(`engine ${engine}`)!;
    expect(detail).toMatch(
      isHere ? /^\d+\.\d+ ms/ : /^BACKEND_UNAVAILABLE: .* use the onnx engine$/,
    );
  }
  expect(found.get("data set digits")!.detail).toMatch(/^12000 \+ 2000 samples, .*synthetic/);
  expect(found.get("data set mnist")).toMatchObject({ isHere: false });
  expect(found.get("data set mnist")!.detail).toContain("DATA_UNAVAILABLE");
  expect(found.get("cluster")).toMatchObject({ isHere: false });
  expect(found.get("cluster")!.detail).toContain("start it with `nats-server -p 1`");
});

test("psgd doctor counts the workers of a cluster that is there", async () => {
  await using server = await startNatsServer();
  const found = await examine({ NATS_URL: server.url });
  expect(found.get("cluster")).toMatchObject({ isHere: true });
  expect(found.get("cluster")!.detail).toBe(`0 workers at ${server.url}, 0 free slots`);
});
