import { psgdMain } from "./index.js";

await psgdMain();
