import { jobSubmitMain } from "@psgd/cli";

await jobSubmitMain();
