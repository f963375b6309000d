// Reads the body and the headers of a prediction.

const SUM_TOLERANCE = 1e-3;

export function answers(body) {
  try {
    return JSON.parse(body).predictions;
  } catch {
    return null;
  }
}

// One list of labels and scores for each text, the scores falling and together 1.
export function rightShape(predictions, asked) {
  return Array.isArray(predictions) && predictions.length === asked && predictions.every(rightPrediction);
}

function rightPrediction(prediction) {
  if (!Array.isArray(prediction) || prediction.length < 2) {
    return false;
  }
  const scores = prediction.map(({ score }) => score);
  const sum = scores.reduce((all, score) => all + score, 0);
  return (
    new Set(prediction.map(({ label }) => label)).size === prediction.length &&
    prediction.every(({ label, score }) => typeof label === 'string' && score >= 0 && score <= 1) &&
    scores.every((score, i) => i === 0 || score <= scores[i - 1]) &&
    Math.abs(sum - 1) <= SUM_TOLERANCE
  );
}

// `Cache-Status: mlapi; hit; detail="l1=2 l2=0 collapsed=0 model=0"`; null where that is not what it says.
export function cacheCounts(header) {
  const found = /\bmlapi\b.*\bdetail="l1=(\d+) l2=(\d+) collapsed=(\d+) model=(\d+)"/.exec(header || '');
  if (!found) {
    return null;
  }
  const [l1, l2, collapsed, model] = found.slice(1).map(Number);
  return { l1, l2, collapsed, model, total: l1 + l2 + collapsed + model };
}

// `Server-Timing: cache;dur=0.1, queue;dur=0.2, model;dur=3`: milliseconds; what is not named took none.
export function timings(header) {
  const found = { cache: 0, queue: 0, model: 0 };
  for (const [, name, duration] of (header || '').matchAll(/(\w+);dur=([\d.]+)/g)) {
    found[name] = Number(duration);
  }
  return found;
}
