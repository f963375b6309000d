// What must hold: one table makes the thresholds of k6 and the words of the summary, so they say the same.

const KNOWN_P99_MS = 2000;
const MOST_FAILED = 0.001;
const LEAST_HITS = 0.95;

function goal(says, metric, stat, op, limit, unit) {
  return { says, metric, stat, op, limit, unit };
}

// Requests that were neither answered nor, where that is allowed, refused. Those before the start have no scenario.
export function failures(profile, scenario) {
  return profile.hitsRate ? 'http_req_failed' : `http_req_failed{scenario:${scenario}}`;
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
        goal('p99 of requests', `http_req_duration{scenario:${scenario}}`, 'p(99)', '<', p99Ms, 'ms'),
        goal('hit rate', 'hit_rate', 'rate', '>', LEAST_HITS, '%'),
      ];
  const overload = profile.mayRefuse
    ? goal('refusals with Retry-After', 'proper_refusal', 'rate', '>=', 1, '%')
    : goal('requests not sent: all users busy', 'dropped_iterations', 'count', '<', mostDropped(requests), '');
  return [
    ...speed,
    goal('failed requests', failures(profile, scenario), 'rate', '<', MOST_FAILED, '%'),
    goal('answers of the documented shape', 'checks', 'rate', '>', 0.999, '%'),
    goal('same text, same answer', 'same_answer', 'rate', '>=', 1, '%'),
    overload,
  ];
}

function mostDropped(requests) {
  return Math.max(1, Math.ceil(MOST_FAILED * requests));
}

export function threshold({ stat, op, limit }) {
  return `${stat}${op}${limit}`;
}
