import { createConnection } from "node:net";
import { expect, test } from "vitest";
import { startNode } from "./processes.js";

const FOREVER = "setInterval(() => {}, 1000);";

test("a line is found whether it came before or comes after the wait", async () => {
  await using echo = startNode([
    "-e",
    "console.log('ready 1'); setTimeout(() => console.error('ready 2'), 50)",
  ]);
  expect((await echo.waitFor(/ready (\d)/))[1]).toBe("1");
  expect((await echo.waitFor(/ready (2)/))[1]).toBe("2");
  expect((await echo.waitFor("ready 1"))[0]).toBe("ready 1");
  expect(await echo.exit()).toEqual({ code: 0, signal: null });
  expect(echo.stdout).toBe("ready 1\n");
});

test("a wait that fails shows the output so far", async () => {
  await using busy = startNode(["-e", `console.log("thinking"); ${FOREVER}`]);
  await busy.waitFor("thinking");
  await expect(busy.waitFor("done", 20)).rejects.toThrow(
    /waited 20 ms for \/done\/; output so far:\nthinking/,
  );
  await expect(busy.exit(20)).rejects.toThrow("waited 20 ms for its end");
  await using brief = startNode(["-e", "console.log('oops'); process.exitCode = 3"]);
  await expect(brief.waitFor("done")).rejects.toThrow(
    /ended with exit code 3, without \/done\/; output so far:\noops/,
  );
});

test("kill ends a process and tells how", async () => {
  await using busy = startNode(["-e", `console.log("up"); ${FOREVER}`]);
  await busy.waitFor("up");
  await busy.kill();
  expect(await busy.exit()).toEqual({ code: null, signal: "SIGKILL" });
});

test("children that a killed process leaves behind end with the scope", async () => {
  const listening = `require("node:net").createServer().listen(0, "127.0.0.1", function () {
    console.log("child " + this.address().port);
  })`;
  let port: number;
  {
    await using parent = startNode([
      "-e",
      `require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(listening)}], {
         stdio: "inherit",
       });`,
    ]);
    port = Number((await parent.waitFor(/child (\d+)\n/))[1]);
    await parent.kill();
    expect(await accepts(port)).toBe(true);
  }
  await expect.poll(() => accepts(port)).toBe(false);
});

test("a process that cannot start says why", async () => {
  await using lost = startNode(["-e", ""], { cwd: "/nonexistent" });
  await expect(lost.waitFor("up")).rejects.toThrow(/ended with [^]*ENOENT/);
});

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1");
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
