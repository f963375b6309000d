// Load tests of mlapi with k6: `k6 run load.js`; docs/load-testing.md says what can be asked for, and how to read it.

import exec from 'k6/execution';
import http from 'k6/http';

import { refuseOthers } from './loadtest/agreement.js';
import { checkService, prime, send } from './loadtest/client.js';
import { options as planOptions, plan as makePlan } from './loadtest/plan.js';
import { report } from './loadtest/report.js';
import { results } from './loadtest/results.js';
import { readSettings } from './loadtest/settings.js';
import { summary } from './loadtest/summary.js';
import { Traffic } from './loadtest/traffic.js';

const settings = readSettings(__ENV);
const plan = makePlan(settings);

export const options = planOptions(plan);

// Where refusing is the right answer to too much load, a refusal is no failure; whether it was a proper one is checked.
http.setResponseCallback(plan.mayRefuse ? http.expectedStatuses(200, 503) : http.expectedStatuses(200));

let traffic;

// The seed is drawn here and not in each virtual user: all of them must ask for the same texts.
export function setup() {
  // Made anew: k6 writes into the exported value.
  refuseOthers(planOptions(plan), exec.test.options);
  checkService(settings);
  const seed = settings.seed || String(Date.now());
  return { seed, ...prime(settings, new Traffic({ seed, cacheRate: 1, hotTexts: plan.hotTexts })) };
}

function ask(primed, cacheRate, texts) {
  if (!primed) {
    exec.test.abort('without setup() (--no-setup, K6_NO_SETUP) the hot texts are not known, and nothing can be judged');
  }
  traffic = traffic || new Traffic({ seed: primed.seed, cacheRate, hotTexts: plan.hotTexts });
  const elapsed = (Date.now() - exec.scenario.startTime) / 1000;
  exec.vu.metrics.tags.slice = plan.sliceAt(elapsed);
  send(settings, traffic.request(exec.scenario.iterationInTest, texts), primed);
}

export default function (primed) {
  ask(primed, settings.cacheRate, plan.texts);
}

export function hits(primed) {
  ask(primed, 1, plan.texts);
}

export function misses(primed) {
  ask(primed, 0, plan.missTexts);
}

export function handleSummary(data) {
  const found = results(data, plan, settings);
  const files = { stdout: summary(found) };
  if (settings.report && found.measured) {
    files[`${settings.report}.json`] = `${JSON.stringify(found, null, 2)}\n`;
    files[`${settings.report}.html`] = report(found);
  }
  return files;
}
