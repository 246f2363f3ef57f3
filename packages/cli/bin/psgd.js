#!/usr/bin/env node
import { start } from "../../tooling/start.js";

await start(new URL("../dist/psgd.js", import.meta.url));
