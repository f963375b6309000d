// What each scenario is: how the rate of requests moves, and what must hold.

// rate: requests a second at the top. hold: seconds at the top. stages: [part of `hold`, part of `rate`], where the
// rate moves to in that time; none: constant. p99Ms: what 99 % of the requests must stay under.
// mayRefuse: 503 with Retry-After is an answer that the scenario provokes on purpose.
const UP_HOLD_DOWN = [
  [0.1, 1],
  [1, 1],
  [0.1, 0],
];

export const SCENARIOS = Object.freeze({
  smoke: { rate: 5, hold: 15, p99Ms: 2000 },
  slo: { rate: 10, hold: 600, stages: UP_HOLD_DOWN, users: 10, p99Ms: 2000 },
  average: { rate: 20, hold: 300, stages: UP_HOLD_DOWN, p99Ms: 2000 },
  stress: {
    rate: 100,
    hold: 300,
    stages: [
      [0.4, 1],
      [1, 1],
      [0.2, 0],
    ],
    p99Ms: 2000,
  },
  spike: {
    rate: 300,
    hold: 30,
    stages: [
      [1, 0.03],
      [0.2, 1],
      [1, 1],
      [0.2, 0.03],
      [2, 0.03],
    ],
    start: 0.03,
    mayRefuse: true,
    p99Ms: 2000,
  },
  soak: { rate: 10, hold: 4 * 3600, p99Ms: 2000 },
  // Known texts at a steady rate, and beside them ever more new ones. p99Ms is for what is accepted of these: the
  // service's deadline (MLAPI_DEADLINE_S, 10 s) and half a second.
  breakpoint: { rate: 100, hold: 300, stages: [[1, 1]], hitsRate: 20, mayRefuse: true, p99Ms: 10500 },
});
