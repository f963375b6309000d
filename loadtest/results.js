// Gathers what k6 measured into one plain value: what the terminal, the JSON file and the report are made of.

import { threshold } from './goals.js';
import { sliced } from './plan.js';

const KNEE_REFUSED = 0.01;
const LATENCIES = [
  ['answers', 'duration_answer'],
  ['  all texts known', 'duration_hit'],
  ['  some text new', 'duration_miss'],
  ['  in the cache and service', 'part_cache'],
  ['  in the queue', 'part_queue'],
  ['  in the model', 'part_model'],
  ['  outside the service', 'part_outside'],
];

function rateAt(corners, second) {
  for (let i = 1; i < corners.length; i += 1) {
    const [start, from] = corners[i - 1];
    const [end, to] = corners[i];
    if (second <= end && end > start) {
      return from + ((to - from) * (second - start)) / (end - start);
    }
  }
  return corners[corners.length - 1][1];
}

export function results(data, plan, settings) {
  const values = (metric) => sampled(data.metrics[metric]);
  const primed = data.setup_data || {};
  const sent = values('refused').passes + values('refused').fails || 0;
  const took = primed.ended ? (Date.now() - primed.ended) / 1000 : 0;
  // Less than planned: k6 was interrupted. A second is left for what the clocks of setup and summary round away.
  const whole = took >= plan.seconds - 1;
  const goals = plan.goals.map((goal) => judge(goal, data.metrics));
  const slices = Array.from({ length: plan.slices }, (_, index) => slice(index, plan, values));
  return {
    measured: sent > 0,
    whole,
    held: sent > 0 && whole && goals.every(({ held }) => held),
    scenario: settings.scenario,
    url: settings.baseUrl,
    seed: primed.seed,
    cacheRate: plan.separate ? null : settings.cacheRate,
    model: primed.digest,
    sameModel: values('same_model').rate,
    seconds: { planned: plan.seconds, took },
    goals,
    requests: {
      sent,
      failed: values(plan.failures).passes || 0,
      refused: values('refused').passes || 0,
      dropped: values('dropped_iterations').count || 0,
    },
    texts: Object.fromEntries(
      ['l1', 'l2', 'collapsed', 'model'].map((source) => [source, values(`texts_${source}`).count || 0]),
    ),
    latencies: LATENCIES.map(([says, metric]) => ({ says, metric, ...values(metric) })).filter(
      ({ avg }) => avg !== undefined,
    ),
    slices,
    knee: plan.separate ? knee(slices) : null,
  };
}

// k6 writes zeros for a metric that nothing was added to; here it has no values.
function sampled(metric) {
  const { type, values } = metric || { values: {} };
  const empty = type === 'trend' ? values.max === 0 : type === 'rate' && values.passes + values.fails === 0;
  return empty ? {} : values;
}

// k6's own verdicts, so that the summary and the exit code say the same. None (--no-thresholds) is not a good one.
function judge(goal, metrics) {
  const ok = (metric, expression) => Boolean(metrics[metric]?.thresholds?.[expression]?.ok);
  const measured = ok(goal.measured.metric, goal.measured.threshold);
  const held = measured && ok(goal.metric, threshold(goal));
  return { ...goal, measured, value: measured ? metrics[goal.metric].values[goal.stat] : undefined, held };
}

function slice(index, plan, values) {
  const of = (metric) => values(sliced(metric, index));
  const width = plan.seconds / plan.slices;
  // JSON has no undefined.
  const number = (value) => (value === undefined ? null : value);
  return {
    from: index * width,
    to: (index + 1) * width,
    offered: rateAt(plan.corners, (index + 0.5) * width),
    sent: (of('http_reqs').count || 0) / width,
    refused: (of('refused').passes || 0) / width,
    failed: (of('http_req_failed').passes || 0) / width,
    modelTexts: (of('texts_model').count || 0) / width,
    hitRate: number(of('hit_rate').rate),
    hitMedian: number(of('duration_hit').med),
    hitP99: number(of('duration_hit')['p(99)']),
    missMedian: number(of('duration_miss').med),
    missP99: number(of('duration_miss')['p(99)']),
  };
}

// The knee: the last slice before more than one new request in a hundred was refused, and what was computed after it.
function knee(slices) {
  const after = slices.findIndex(({ refused, offered }) => refused > KNEE_REFUSED * offered);
  const computed = (some) => Math.max(0, ...some.map(({ modelTexts }) => modelTexts));
  if (after < 0) {
    return { found: false, offered: slices[slices.length - 1].offered, modelTexts: computed(slices) };
  }
  return { found: true, offered: slices[Math.max(0, after - 1)].offered, modelTexts: computed(slices.slice(after)) };
}
