// Refuses a run that is not the plan: goals that were made for one load say nothing about another.

import { seconds } from './settings.js';

// What changes the load of every scenario, whichever way k6 was told (flag, K6_ variable, configuration file, archive).
const CHANGES = ['executionSegment', 'rps', 'minIterationDuration', 'noSetup', 'discardResponseBodies'];

// k6 writes durations its own way (60s is 1m0s) and adds keys with null: what is wanted must be there, and no less.
function agrees(wanted, given) {
  if (Array.isArray(wanted)) {
    return Array.isArray(given) && wanted.length === given.length && wanted.every((one, i) => agrees(one, given[i]));
  }
  if (typeof wanted === 'object') {
    const extra = Object.keys(given || {}).filter((key) => !(key in wanted) && given[key] !== null);
    return Boolean(given) && !extra.length && Object.keys(wanted).every((key) => agrees(wanted[key], given[key]));
  }
  return wanted === given || (isDuration(wanted) && isDuration(given) && seconds(wanted) === seconds(given));
}

function isDuration(value) {
  return typeof value === 'string' && /^(\d+[hms])+$/.test(value);
}

// `planned`: the options that the script asked for; `options`: those that k6 runs with, as values of its own kind.
export function refuseOthers(planned, options) {
  const running = JSON.parse(JSON.stringify(options));
  const found = [
    ...['scenarios', 'thresholds'].filter((name) => !agrees(planned[name], running[name])),
    ...CHANGES.filter((name) => running[name]),
  ];
  const missing = planned.summaryTrendStats.filter((stat) => !running.summaryTrendStats.includes(stat));
  if (found.length) {
    throw new Error(
      `k6 would not run what was planned (${found.join(', ')} differ): --vus, --duration, --iterations, --stage and ` +
        'their like replace the scenario that the goals are for, by flag, K6_ variable or configuration file, and an ' +
        'archive keeps the one that it was made with; choose with -e SCENARIO, RATE, DURATION and P99_MS',
    );
  }
  if (missing.length) {
    throw new Error(`--summary-trend-stats leaves out ${missing.join(', ')}: the summary needs them`);
  }
}
