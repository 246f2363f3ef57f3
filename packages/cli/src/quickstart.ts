import { resolve } from "node:path";
import yargs from "yargs";
import { SILENT, isPsgdError } from "@psgd/core";
import { systemClock } from "@psgd/runtime";
import { runJobSubmit, withSubmitOptions } from "./commands/job-submit.js";
import { openDataset } from "./compose.js";
import { EXIT_CODES } from "./exit-codes.js";
import { bytesText } from "./live-display.js";
import { runCommand } from "./run-command.js";

/** MNIST is 11.6 MB; a connection that does not bring it in this time would spoil the first minute. */
const DOWNLOAD_BOUND_MS = 15_000;
const OUTPUT_DIRECTORY = "psgd-results";

/** The first job of a new user: real training by two nodes on this machine, without a server. */
async function quickstart(): Promise<number> {
  say(
    "Two nodes train a small neural network together on this machine, as threads of this process.",
  );
  say(
    "After every step they exchange their gradients peer to peer, as the codec `plain.Plain` says.\n",
  );
  const dataset = (await hasMnist()) ? "mnist" : "digits";
  const job = ["--codec", "plain.Plain", "--node-count", "2", "--dataset", dataset];
  say(`npx job-submit --local ${job.join(" ")} --output-dir ${OUTPUT_DIRECTORY}\n`);
  const args = await withSubmitOptions(
    yargs([...job, "--local", "--output-dir", OUTPUT_DIRECTORY]),
  ).parseAsync();
  const code = await runJobSubmit(args);
  if (code === EXIT_CODES.done) sayWhatIsThere(dataset);
  return code;
}

/** Whether the real data set is here, or comes in time. */
async function hasMnist(): Promise<boolean> {
  let isAnnounced = false;
  const arrival = openDataset("mnist", {
    log: SILENT,
    onProgress: ({ totalBytes }) => {
      if (isAnnounced || totalBytes === undefined) return;
      isAnnounced = true;
      say(`Downloading MNIST (first file: ${bytesText(totalBytes)}) ...`);
    },
  }).then(
    () => "",
    (error: unknown) => {
      if (isPsgdError(error, "DATA_UNAVAILABLE")) return "it cannot be downloaded here";
      throw error;
    },
  );
  let stopWaiting = (): void => {};
  const bound = new Promise<string>((resolve) => {
    stopWaiting = systemClock.setTimer(DOWNLOAD_BOUND_MS, () =>
      resolve(`it did not arrive in ${DOWNLOAD_BOUND_MS / 1000} s`),
    );
  });
  const reason = await Promise.race([arrival, bound]);
  stopWaiting();
  if (reason === "") return true;
  // A download that is late or broken must not end the job that goes on without it.
  arrival.catch(() => {});
  say(`MNIST is not on this machine, and ${reason}.`);
  say("So this run uses `digits`: SYNTHETIC pictures that this program draws from a seed.");
  say("Its accuracy says nothing about MNIST. With the four MNIST files in FOLDER/mnist, try:");
  say("  PSGD_DATA_DIR=FOLDER npm run quickstart\n");
  return false;
}

function sayWhatIsThere(dataset: string): void {
  const directory = resolve(OUTPUT_DIRECTORY);
  say(`
Everything is in ${directory}:
  T-*.csv        loss, accuracy and bytes of every step, one file for each node
  E-*.csv        loss and accuracy on the test data after each epoch
  L-*.csv        messages and bytes by codec, tensor, link and direction
  job-*/model/   the trained model: TensorFlow.js layers format and safetensors
  job-*/manifest.json   what ran, on what, and how it ended
  tmp_log/       the logs

Try next:
  npx job-submit --local --codec fedavg.FedAvgClient --node-count 3 --dataset ${dataset} --param local_steps=20
                 the same with a parameter server: far fewer bytes
  npx job-submit --help
                 every option
  README.md      write a codec of your own, and run it on several machines`);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

await runCommand(quickstart, false);
