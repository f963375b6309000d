// Draws lines over time as SVG, without a library: the report must open anywhere, and without a network.

const WIDTH = 720;
const HEIGHT = 240;
const LEFT = 64;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 28;
const TICKS = 4;

export function escaped(text) {
  return String(text).replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign]);
}

// 1, 2 or 5 times a power of ten, the next that is not smaller.
function round(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= value * 0.999999);
}

function scale(values, log, top) {
  const known = values.filter((value) => value !== null && (!log || value > 0));
  if (!known.length) {
    return { ticks: [], place: () => 0 };
  }
  if (log) {
    const low = Math.floor(Math.log10(Math.min(...known)));
    const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...known))));
    return {
      ticks: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)),
      place: (value) => (Math.log10(value) - low) / (high - low),
    };
  }
  const step = round((top || Math.max(...known, 1e-9)) / TICKS);
  const high = top || step * Math.ceil(Math.max(...known, 1e-9) / step);
  return {
    ticks: Array.from({ length: Math.round(high / step) + 1 }, (_, i) => i * step),
    place: (value) => value / high,
  };
}

function stroke(points, color) {
  const places = points.map((point) => point.join(',')).join(' ');
  return `<polyline points="${places}" fill="none" stroke="${color}" stroke-width="2"/>`;
}

// A line is broken where there is no value; a lone value is a dot.
function line(points, color) {
  const runs = [];
  let run = [];
  for (const point of [...points, null]) {
    if (point) {
      run.push(point);
    } else if (run.length) {
      runs.push(run);
      run = [];
    }
  }
  return runs
    .map((some) =>
      some.length === 1 ? `<circle cx="${some[0][0]}" cy="${some[0][1]}" r="3" fill="${color}"/>` : stroke(some, color),
    )
    .join('');
}

// `series`: [{ name, color, values }], one value or null for each of `seconds`. `top`: where a linear axis ends.
export function chart({ title, seconds, end, series, format, time, log = false, top }) {
  const { ticks, place } = scale(
    series.flatMap(({ values }) => values),
    log,
    top,
  );
  const x = (second) => Math.round(10 * (LEFT + (second / end) * (WIDTH - LEFT - RIGHT))) / 10;
  const y = (value) => Math.round(10 * (HEIGHT - BOTTOM - place(value) * (HEIGHT - TOP - BOTTOM))) / 10;
  const grid = ticks.map(
    (tick) =>
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(tick)}" y2="${y(tick)}" class="grid"/>` +
      `<text x="${LEFT - 6}" y="${y(tick) + 4}" text-anchor="end">${escaped(format(tick))}</text>`,
  );
  const times = [0, 0.25, 0.5, 0.75, 1].map(
    (part) => `<text x="${x(part * end)}" y="${HEIGHT - 8}" text-anchor="middle">${escaped(time(part * end))}</text>`,
  );
  const lines = series.map(({ values, color }) =>
    line(
      values.map((value, i) => (value === null || (log && value <= 0) ? null : [x(seconds[i]), y(value)])),
      color,
    ),
  );
  const legend = series.map(({ name, color }) => `<span><i style="background:${color}"></i>${escaped(name)}</span>`);
  return (
    `<figure><figcaption>${escaped(title)}</figcaption>` +
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">` +
    `${grid.join('')}${times.join('')}${lines.join('')}</svg><div class="legend">${legend.join('')}</div></figure>`
  );
}
