// Turns a scenario into what k6 runs and judges: scenarios, thresholds, and the slices of time that the report shows.

import { SCENARIOS } from './profiles.js';

const TEXTS = 2;
// So many at once that the model's queue fills to its deadline with some hundreds of requests waiting, not thousands.
const MISS_TEXTS = 16;
const HOT_TEXTS = 64;
const SLICES = 20;
const HITS_P99_MS = 2000;
const STATS = ['min', 'avg', 'med', 'max', 'p(90)', 'p(95)', 'p(99)', 'p(99.99)'];

// Metrics that are kept for each slice too; k6 keeps a submetric when thresholds name it, even with an empty list.
const SLICED = [
  'http_reqs',
  'http_req_failed',
  'duration_hit',
  'duration_miss',
  'hit_rate',
  'refused',
  'texts_model',
];

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

// Requests that were neither answered nor refused in the way that the scenario expects, those before the start left out.
function failures(profile, settings) {
  return profile.hitsRate ? 'http_req_failed' : `http_req_failed{scenario:${settings.scenario}}`;
}

// What must hold. One table makes the thresholds and the words of the summary, so they cannot say different things.
function goals(profile, settings, requests) {
  const wanted = [
    { says: 'failed requests', metric: failures(profile, settings), stat: 'rate', limit: 0.001, unit: '%' },
    { says: 'answers of the documented shape', metric: 'checks', stat: 'rate', op: '>', limit: 0.999, unit: '%' },
    { says: 'same text, same answer', metric: 'same_answer', stat: 'rate', op: '>=', limit: 1, unit: '%' },
  ];
  if (profile.hitsRate) {
    wanted.unshift(
      { says: 'p99 of accepted new texts', metric: 'duration_miss', stat: 'p(99)', limit: settings.p99Ms, unit: 'ms' },
      { says: 'p99 of known texts', metric: 'http_req_duration{scenario:hits}', stat: 'p(99)', limit: HITS_P99_MS, unit: 'ms' },
      { says: 'known texts refused', metric: 'refused{scenario:hits}', stat: 'rate', limit: 0.001, unit: '%' },
    );
  } else {
    wanted.unshift(
      { says: 'p99 of requests', metric: `http_req_duration{scenario:${settings.scenario}}`, stat: 'p(99)', limit: settings.p99Ms, unit: 'ms' },
      { says: 'hit rate', metric: 'hit_rate', stat: 'rate', op: '>', limit: 0.95, unit: '%' },
    );
  }
  if (profile.mayRefuse) {
    wanted.push({ says: 'refusals with Retry-After', metric: 'proper_refusal', stat: 'rate', op: '>=', limit: 1, unit: '%' });
  } else {
    const limit = Math.max(1, Math.ceil(requests / 1000));
    wanted.push({ says: 'requests not sent: all users busy', metric: 'dropped_iterations', stat: 'count', limit, unit: '' });
  }
  return wanted.map((goal) => ({ op: '<', ...goal }));
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
    failures: failures(profile, settings),
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
  for (const { metric, stat, op, limit } of made.goals) {
    thresholds[metric] = [`${stat}${op}${limit}`];
  }
  return { scenarios: made.scenarios, thresholds, summaryTrendStats: STATS, userAgent: 'mlapi-load' };
}
