// Turns a scenario into what k6 runs and judges, and into the slices of time that the report shows.

import { failures, goals, threshold } from './goals.js';
import { SCENARIOS } from './profiles.js';

const TEXTS = 2;
// So many at once that the model's queue fills to its deadline with some hundreds of requests waiting, not thousands.
const MISS_TEXTS = 16;
const HOT_TEXTS = 64;
const SLICES = 20;
const STATS = ['min', 'avg', 'med', 'max', 'p(90)', 'p(95)', 'p(99)', 'p(99.99)'];

// Metrics that are kept for each slice too; k6 keeps a submetric when thresholds name it, even with an empty list.
const SLICED = ['http_reqs', 'http_req_failed', 'duration_hit', 'duration_miss', 'hit_rate', 'refused', 'texts_model'];

function sliceName(index) {
  return String(index).padStart(2, '0');
}

export function sliced(metric, index) {
  return `${metric}{slice:${sliceName(index)}}`;
}

function pool(rate) {
  const users = Math.max(10, Math.ceil(rate));
  return { preAllocatedVUs: Math.min(users, 100), maxVUs: Math.min(10 * users, 500) };
}

function arrivals(profile, { rate, hold }) {
  const users = profile.users ? { preAllocatedVUs: profile.users, maxVUs: profile.users } : pool(rate);
  if (!profile.stages) {
    return { ...constant(rate, hold), ...users };
  }
  // A tenth of a request a second is the finest that k6's whole numbers of requests then allow.
  const perTenSeconds = (part) => Math.round(10 * rate * part);
  return {
    executor: 'ramping-arrival-rate',
    startRate: perTenSeconds(profile.start || 0),
    timeUnit: '10s',
    stages: profile.stages.map(([time, part]) => ({
      duration: `${Math.max(1, Math.round(time * hold))}s`,
      target: perTenSeconds(part),
    })),
    ...users,
  };
}

function constant(rate, hold) {
  return { executor: 'constant-arrival-rate', rate: Math.round(10 * rate), timeUnit: '10s', duration: `${hold}s` };
}

// The offered requests a second at each moment, as [seconds, rate] corners.
function corners(scenario) {
  if (scenario.duration) {
    return [
      [0, scenario.rate / 10],
      [parseInt(scenario.duration, 10), scenario.rate / 10],
    ];
  }
  const found = [[0, scenario.startRate / 10]];
  for (const { duration, target } of scenario.stages) {
    found.push([found[found.length - 1][0] + parseInt(duration, 10), target / 10]);
  }
  return found;
}

function area(points) {
  return points.slice(1).reduce((sum, [time, rate], i) => sum + ((rate + points[i][1]) / 2) * (time - points[i][0]), 0);
}

export function plan(settings) {
  const profile = SCENARIOS[settings.scenario];
  const main = arrivals(profile, settings);
  const points = corners(main);
  const total = points[points.length - 1][0];
  const scenarios = profile.hitsRate
    ? {
        hits: { exec: 'hits', ...constant(profile.hitsRate, total), ...pool(profile.hitsRate) },
        misses: { exec: 'misses', ...main },
      }
    : { [settings.scenario]: main };
  return {
    scenarios,
    goals: goals(profile, settings, area(points)),
    failures: failures(profile, settings.scenario),
    corners: points,
    seconds: total,
    slices: SLICES,
    sliceAt: (elapsed) => sliceName(Math.min(SLICES - 1, Math.max(0, Math.floor((elapsed / total) * SLICES)))),
    mayRefuse: Boolean(profile.mayRefuse),
    separate: Boolean(profile.hitsRate),
    hotTexts: HOT_TEXTS,
    texts: TEXTS,
    missTexts: MISS_TEXTS,
  };
}

export function options(made) {
  const thresholds = {};
  for (let index = 0; index < made.slices; index += 1) {
    for (const metric of SLICED) {
      thresholds[sliced(metric, index)] = [];
    }
  }
  for (const goal of made.goals) {
    thresholds[goal.metric] = [...(thresholds[goal.metric] || []), threshold(goal)];
    const { metric, threshold: sampled } = goal.measured;
    thresholds[metric] = [...(thresholds[metric] || []), sampled];
  }
  return { scenarios: made.scenarios, thresholds, summaryTrendStats: STATS, userAgent: 'mlapi-load' };
}
