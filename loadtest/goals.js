// What must hold: one table makes the thresholds of k6 and the words of the summary, so they say the same.

const KNOWN_P99_MS = 2000;
const MOST_FAILED = 0.001;
const LEAST_HITS = 0.95;

function goal(says, metric, stat, op, limit, unit) {
  return { says, metric, stat, op, limit, unit, measured: witness(metric, stat) };
}

// What crosses a threshold of its own if a goal's metric got no sample: for k6, a threshold without one is held.
function witness(metric, stat) {
  const [name, tags] = [metric.replace(/\{.*/, ''), metric.replace(/^[^{]*/, '')];
  if (stat.startsWith('p(')) {
    return { metric, threshold: 'max>0' };
  }
  const counted = { http_req_failed: 'http_reqs', dropped_iterations: 'iterations' }[name] || `${name}_samples`;
  return { metric: counted + tags, threshold: 'count>0' };
}

// Requests that were neither answered nor, where that is allowed, refused; those of the setup do not count.
export function failures(profile, scenario) {
  return profile.hitsRate ? 'http_req_failed{name:predict}' : `http_req_failed{scenario:${scenario}}`;
}

// `requests`: how many the scenario wants to send.
export function goals(profile, { scenario, p99Ms }, requests) {
  const speed = profile.hitsRate
    ? [
        goal('p99 of accepted new texts', 'duration_miss', 'p(99)', '<', p99Ms, 'ms'),
        goal('p99 of known texts', 'http_req_duration{scenario:hits}', 'p(99)', '<', KNOWN_P99_MS, 'ms'),
        goal('known texts refused', 'refused{scenario:hits}', 'rate', '<', MOST_FAILED, '%'),
      ]
    : [
        speedOf(profile, scenario, p99Ms),
        goal('hit rate', 'hit_rate', 'rate', '>', LEAST_HITS, '%'),
      ];
  const overload = profile.mayRefuse
    ? goal('refusals without Retry-After', 'improper_refusal', 'rate', '<=', 0, '%')
    : goal('requests not sent: all users busy', 'dropped_iterations', 'count', '<', mostDropped(requests), '');
  return [
    ...speed,
    goal('failed requests', failures(profile, scenario), 'rate', '<', MOST_FAILED, '%'),
    goal('answers of the documented shape', 'checks', 'rate', '>', 0.999, '%'),
    goal('same text, same answer', 'same_answer', 'rate', '>=', 1, '%'),
    overload,
  ];
}

// Refusing takes no time: where it is allowed, answers alone are judged.
function speedOf({ mayRefuse }, scenario, p99Ms) {
  return mayRefuse
    ? goal('p99 of answers', 'duration_answer', 'p(99)', '<', p99Ms, 'ms')
    : goal('p99 of requests', `http_req_duration{scenario:${scenario}}`, 'p(99)', '<', p99Ms, 'ms');
}

function mostDropped(requests) {
  return Math.max(1, Math.ceil(MOST_FAILED * requests));
}

export function threshold({ stat, op, limit }) {
  return `${stat}${op}${limit}`;
}
