// Writes the results as one HTML file that needs nothing else: no script, no network.

import { chart, escaped } from './charts.js';
import { clock, kneeSays, limit, milliseconds, percent, shown, verdict } from './summary.js';

const BLUE = '#2f6fde';
const LIGHT_BLUE = '#8ab4f8';
const ORANGE = '#e8710a';
const LIGHT_ORANGE = '#f6ae6b';
const GREEN = '#188038';
const RED = '#c5221f';
const GREY = '#80868b';

const STYLE = `
:root { color-scheme: light dark; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
td, th { padding: .25rem .6rem; border-bottom: 1px solid var(--line); }
th { text-align: left; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.held { color: ${GREEN}; } .failed { color: ${RED}; font-weight: bold; }
.verdict { padding: .6rem 1rem; border-left: .4rem solid; margin: 1rem 0; }
figure { margin: 1.5rem 0; } figcaption { font-weight: 600; } svg { width: 100%; height: auto; }
svg text { font-size: 11px; fill: currentColor; } .grid { stroke: var(--line); }
.legend { margin-bottom: 1rem; } .legend span { margin-right: 1.2rem; }
i { display: inline-block; width: .8rem; height: .8rem; margin-right: .35rem; }
.bar { display: flex; height: 1.6rem; } .bar div { min-width: 1px; }
`;

function row(cells, tag = 'td') {
  return `<tr>${cells.map((cell, i) => `<${tag}${i ? ' class="n"' : ''}>${cell}</${tag}>`).join('')}</tr>`;
}

function goals(found) {
  const mark = (held) => `<span class="${held ? 'held">✓ held' : 'failed">✗ failed'}</span>`;
  const rows = found.goals.map((goal) =>
    row([`${mark(goal.held)} ${escaped(goal.says)}`, escaped(limit(goal)), escaped(shown(goal.value, goal.unit))]),
  );
  return `<table>${row(['Goal', 'wanted', 'measured'], 'th')}${rows.join('')}</table>`;
}

function latencies(found) {
  const stats = ['med', 'avg', 'p(90)', 'p(95)', 'p(99)', 'p(99.99)', 'max'];
  const rows = found.latencies.map((one) =>
    row([escaped(one.says.trim()), ...stats.map((stat) => milliseconds(one[stat]))]),
  );
  return `<table>${row(['Time', ...stats], 'th')}${rows.join('')}</table>`;
}

function parts(found) {
  const average = (metric) => (found.latencies.find((one) => one.metric === metric) || { avg: 0 }).avg;
  const shares = [
    ['outside the service', average('part_outside'), GREY],
    ['cache and service', average('part_cache'), BLUE],
    ['queue', average('part_queue'), LIGHT_ORANGE],
    ['model', average('part_model'), ORANGE],
  ];
  const bars = shares.map(([, time, color]) => `<div style="flex:${time} 0 0;background:${color}"></div>`);
  const names = shares.map(
    ([name, time, color]) => `<span><i style="background:${color}"></i>${name} ${milliseconds(time)}</span>`,
  );
  return `<div class="bar">${bars.join('')}</div><div class="legend">${names.join('')}</div>`;
}

function charts(found) {
  const end = found.slices[found.slices.length - 1].to;
  const over = {
    seconds: found.slices.map(({ from, to }) => (from + to) / 2),
    end,
    time: clock,
  };
  const of = (name) => found.slices.map((slice) => slice[name]);
  const any = (name) => of(name).some((value) => value);
  const perSecond = (value) => `${parseFloat(value.toPrecision(3))}/s`;
  return [
    chart({
      ...over,
      title: 'Requests a second',
      format: perSecond,
      series: [
        { name: found.knee ? 'offered, new texts' : 'offered', color: GREY, values: of('offered') },
        { name: 'sent', color: BLUE, values: of('sent') },
        ...(any('refused') ? [{ name: 'refused', color: ORANGE, values: of('refused') }] : []),
        ...(any('failed') ? [{ name: 'failed', color: RED, values: of('failed') }] : []),
      ],
    }),
    chart({
      ...over,
      title: 'Time of an answer (logarithmic)',
      format: milliseconds,
      log: true,
      series: [
        { name: 'all texts known, median', color: LIGHT_BLUE, values: of('hitMedian') },
        { name: 'all texts known, p99', color: BLUE, values: of('hitP99') },
        { name: 'some text new, median', color: LIGHT_ORANGE, values: of('missMedian') },
        { name: 'some text new, p99', color: ORANGE, values: of('missP99') },
      ],
    }),
    chart({
      ...over,
      title: 'Hit rate, of texts',
      format: (share) => percent(share, 0),
      top: 1,
      series: [{ name: 'from L1 or L2', color: GREEN, values: of('hitRate') }],
    }),
    chart({
      ...over,
      title: 'Texts that the model computed, a second',
      format: perSecond,
      series: [{ name: 'by the model', color: ORANGE, values: of('modelTexts') }],
    }),
  ].join('');
}

export function report(found) {
  const { requests, texts } = found;
  const title = `mlapi load test: ${escaped(found.scenario)}`;
  const facts = [
    ['service', escaped(found.url)],
    ['ran', `${clock(found.seconds.took)} of ${clock(found.seconds.planned)}`],
    ['seed', escaped(found.seed)],
    ['model', `${escaped(found.model)}${found.sameModel === undefined || found.sameModel === 1 ? '' : ', and others'}`],
    [
      'requests',
      `${requests.sent}: ${requests.failed} failed, ${requests.refused} refused, ${requests.dropped} not sent`,
    ],
    ['texts', `${texts.l1} from L1, ${texts.l2} from L2, ${texts.collapsed} collapsed, ${texts.model} by the model`],
    ...(found.knee ? [['knee', kneeSays(found.knee)]] : []),
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title}</title><style>${STYLE}</style></head><body>
<h1>${title}</h1>
<p class="verdict ${found.held ? 'held' : 'failed'}">${escaped(verdict(found))}</p>
${goals(found)}
<h2>The run</h2><table>${facts.map(([name, value]) => `<tr><th>${name}</th><td>${value}</td></tr>`).join('')}</table>
<h2>Where the time of an average answer went</h2>${parts(found)}
${latencies(found)}
<h2>Over time</h2>${charts(found)}
</body></html>
`;
}
