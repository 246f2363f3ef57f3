import { mkdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { machineHosts } from "./machine-hosts.js";
import { readWorkerFile } from "./worker-file.js";
import { workDirectory } from "./work-directory.fixture.js";

async function read(content: string) {
  await using work = await workDirectory({ "worker.json": content });
  return await readWorkerFile(join(work.path, "worker.json"), true);
}

describe("worker.json", () => {
  it("is read as in the seed", async () => {
    expect(await read('{"PS": "192.168.1.1", "Worker": ["192.168.1.2", "192.168.1.3"]}')).toEqual({
      PS: "192.168.1.1",
      Worker: ["192.168.1.2", "192.168.1.3"],
    });
  });

  it("means the machine where it is read by localhost, and no worker of another", async () => {
    expect(await read('{"PS": "localhost", "Worker": ["127.0.0.1", "::1", "a"]}')).toEqual({
      PS: hostname(),
      Worker: [hostname(), hostname(), "a"],
    });
    expect(machineHosts()).toContain(hostname());
    for (const name of ["localhost", "127.0.0.1", "::1"])
      expect(machineHosts()).not.toContain(name);
  });

  it("needs no parameter server, and may name a machine twice", async () => {
    expect(await read('{"Worker": ["a", "a"]}')).toEqual({ PS: undefined, Worker: ["a", "a"] });
  });

  it.each([
    ["", "expected JSON, got"],
    ['{"Worker": ["a",]}', "expected JSON, got"],
    ["[]", "expected an object with `PS` and `Worker`, got []"],
    ["null", "expected an object with `PS` and `Worker`, got null"],
    ["{}", "`Worker`: expected a list of addresses or workers' names, got undefined"],
    ['{"Worker": []}', "`Worker`: expected a list of addresses or workers' names, got []"],
    ['{"Worker": "a"}', '`Worker`: expected a list of addresses or workers\' names, got "a"'],
    ['{"Worker": ["a"], "worker": ["b"]}', "`worker`: expected only `PS` and `Worker`"],
    [
      '{"PS": 1, "Worker": [2], "x": 3}',
      "`PS`: expected an address or a worker's name, got 1; `Worker`: expected a list of addresses or workers' names, got [2]; `x`: expected only",
    ],
  ])("%j is refused with every fault, the file and an example", async (content, fault) => {
    const reading = read(content);
    await expect(reading).rejects.toThrow(/^SETTINGS_INVALID: .*worker\.json: /);
    await expect(reading).rejects.toThrow(fault);
    await expect(reading).rejects.toThrow("see jobs/worker.example.json");
  });

  it("may be absent unless it was named", async () => {
    await using work = await workDirectory();
    const path = join(work.path, "worker.json");
    expect(await readWorkerFile(path, false)).toBeUndefined();
    await expect(readWorkerFile(path, true)).rejects.toThrow(
      /^SETTINGS_INVALID: .*worker\.json: expected a file that can be read, got ENOENT/,
    );
  });

  it("is not passed over when it is there and cannot be read", async () => {
    await using work = await workDirectory();
    await mkdir(join(work.path, "worker.json"));
    await expect(readWorkerFile(join(work.path, "worker.json"), false)).rejects.toThrow(
      /^SETTINGS_INVALID: .*got EISDIR/,
    );
  });
});
