import type { Engine, Plan } from "@psgd/core";
import { probeEngines, type EngineProbe } from "./probe-engines.js";
import { ENGINES, FAST_ENGINE_NAMES, REFERENCE_ENGINE } from "./registry.js";

/**
 * The fastest engine of this machine for the first plan that is compiled, which later plans get too: the others are
 * told nothing and load nothing here.
 *
 * @param say - told what was chosen, in a sentence
 */
export function autoEngine(say: (line: string) => void): Engine {
  let chosen: Promise<Engine> | undefined;
  return {
    name: "auto",
    compile: async (plan) => {
      chosen ??= choose(plan, say);
      return (await chosen).compile(plan);
    },
  };
}

async function choose(plan: Plan, say: (line: string) => void): Promise<Engine> {
  const [fastest, ...others] = (await probeEngines({ names: FAST_ENGINE_NAMES, plan }))
    .filter((probe): probe is EngineProbe & { isAvailable: true } => probe.isAvailable)
    .sort((a, b) => a.stepMs - b.stepMs);
  if (fastest === undefined) {
    say(`Engine: ${REFERENCE_ENGINE}, as no other runs this model here.`);
    return ENGINES[REFERENCE_ENGINE]();
  }
  const rest = others.map(({ name, stepMs }) => `; ${name} ${milliseconds(stepMs)}`).join("");
  say(`Engine: ${fastest.name} (${milliseconds(fastest.stepMs)} a step${rest}).`);
  return ENGINES[fastest.name]();
}

function milliseconds(value: number): string {
  return `${value.toPrecision(2)} ms`;
}
