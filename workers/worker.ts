import { workerMain } from "@psgd/cli";

await workerMain();
