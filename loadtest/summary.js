// Writes the results for the terminal.

const STATS = ['min', 'avg', 'med', 'max', 'p(90)', 'p(95)', 'p(99)', 'p(99.99)'];

export function milliseconds(value) {
  if (value === undefined || value === null) {
    return '-';
  }
  if (value >= 1000) {
    return `${(value / 1000).toFixed(2)}s`;
  }
  return `${value.toFixed(value < 10 ? 2 : 1)}ms`;
}

export function percent(share, digits = 2) {
  return share === undefined || share === null ? '-' : `${(100 * share).toFixed(digits)}%`;
}

export function clock(seconds) {
  if (seconds > 0 && seconds < 10) {
    return `${parseFloat(seconds.toFixed(1))}s`;
  }
  const whole = Math.round(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return ['h', 'm', 's'].map((unit, i) => (parts[i] ? `${parts[i]}${unit}` : '')).join('') || '0s';
}

export function shown(value, unit) {
  if (value === undefined) {
    return 'not measured';
  }
  return { ms: milliseconds, '%': percent, '': String }[unit](value);
}

export function limit(goal) {
  const number = goal.unit === '%' ? `${parseFloat((100 * goal.limit).toFixed(6))}%` : `${goal.limit}${goal.unit}`;
  return `${goal.op.replace('>=', '≥')} ${number}`;
}

function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const pad = (cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]));
  return rows.map((row) => `  ${row.map(pad).join('  ')}`.trimEnd());
}

function goals(found) {
  const rows = found.goals.map((goal) => [
    `${goal.held ? 'held  ' : 'FAILED'}  ${goal.says}`,
    limit(goal),
    shown(goal.value, goal.unit),
    `[${goal.metric}]`,
  ]);
  return table([['        goal', 'wanted', 'measured', ''], ...rows]);
}

function latencies(found) {
  const rows = found.latencies.map((row) => [row.says, ...STATS.map((stat) => milliseconds(row[stat]))]);
  return table([['time', ...STATS], ...rows]);
}

function steps(found) {
  const rows = found.slices.map((slice) => [
    `${clock(slice.from)} to ${clock(slice.to)}`,
    slice.offered.toFixed(1),
    slice.refused.toFixed(1),
    slice.modelTexts.toFixed(0),
    milliseconds(slice.missMedian),
    milliseconds(slice.missP99),
    milliseconds(slice.hitP99),
  ]);
  return table([['step', 'new/s', 'refused/s', 'computed texts/s', 'new med', 'new p99', 'known p99'], ...rows]);
}

function model(found) {
  if (found.sameModel === undefined || found.sameModel === 1) {
    return `the same throughout, ${found.model}`;
  }
  return `${percent(1 - found.sameModel)} of the answers came from another one than ${found.model}, asked first`;
}

export function kneeSays({ found, offered, modelTexts }) {
  const computed = `the model computed ${modelTexts.toFixed(0)} texts/s at most`;
  return found
    ? `at ${offered.toFixed(1)} requests/s of new texts; beyond it, ${computed}`
    : `none up to ${offered.toFixed(1)} requests/s of new texts; ${computed}`;
}

export function verdict(found) {
  const failed = found.goals
    .filter(({ held }) => !held)
    .map(({ says, measured }) => (measured ? says : `${says} (not measured)`));
  const { took, planned } = found.seconds;
  const short = found.whole ? [] : [`the run ended after ${clock(took)} of ${clock(planned)}`];
  return found.held ? 'Every goal was held.' : `NOT held: ${[...short, ...failed].join('; ')}.`;
}

export function summary(found) {
  if (!found.measured) {
    return '\nmlapi load test: nothing was measured; the reason stands above.\n';
  }
  const { requests, texts, seconds } = found;
  const { l1, l2, collapsed } = texts;
  const all = l1 + l2 + collapsed + texts.model;
  const lines = [
    '',
    `mlapi load test "${found.scenario}" of ${found.url}`,
    `  ${clock(seconds.took)} of ${clock(seconds.planned)}, seed ${found.seed}` +
      (found.cacheRate === null ? '' : `, CACHE_RATE ${found.cacheRate}`),
    '',
    ...goals(found),
    '',
    `  requests  ${requests.sent} sent, ${requests.failed} failed, ${requests.refused} refused, ` +
      `${requests.dropped} not sent`,
    `  texts     ${all}: ${l1} from L1, ${l2} from L2, ${collapsed} collapsed, ${texts.model} by the model`,
    `  model     ${model(found)}`,
    ...(found.knee ? [`  knee      ${kneeSays(found.knee)}`] : []),
    '',
    ...latencies(found),
    ...(found.knee ? ['', ...steps(found)] : []),
    '',
    verdict(found),
    '',
  ];
  return lines.join('\n');
}
