/**
 * The program of the process in which a worker runs the plans of its callers. Its arguments are the URL of the broker
 * and the address to listen at; it writes `ready` when it does. When its standard input ends the daemon is gone, or
 * wants it gone.
 */
import { SILENT } from "@psgd/core";
import { PlanHost } from "@psgd/remote";
import { systemClock, systemRandom } from "@psgd/runtime";
import { LinkEndpoint } from "@psgd/transport";
import { connectCluster, planEngine } from "./compose.js";

const [natsUrl, address] = process.argv.slice(2) as [string, string];
process.stdin.on("end", () => process.exit(0)).resume();

const { transport } = await connectCluster(natsUrl, `plans ${address}`);
const host = new PlanHost({ engine: planEngine() });
await LinkEndpoint.open({
  transport,
  clock: systemClock,
  random: systemRandom(),
  address,
  log: SILENT,
  // A plan that computes for long answers nobody meanwhile; that this process is gone, its worker says.
  deadAfterMs: 600_000,
  onLink: (link) => host.serve(link),
});
process.stdout.write("ready\n");
