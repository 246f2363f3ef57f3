#!/usr/bin/env node
import { start } from "../../packages/tooling/start.js";

await start(new URL("../dist/job-submit.js", import.meta.url));
