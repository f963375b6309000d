// What the run was asked for: k6's `-e NAME=value`, checked before anything is sent.

import { SCENARIOS } from './profiles.js';

const LOCAL = 'http://localhost:8000';
const MODELS = ['project', 'lab'];

export function seconds(text) {
  const found = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text);
  const total = found ? 3600 * (found[1] || 0) + 60 * (found[2] || 0) + 1 * (found[3] || 0) : 0;
  if (!total) {
    throw new Error(`a duration is written like 90s, 10m or 1h30m, not "${text}"`);
  }
  return total;
}

function number(env, name, fallback, low, high) {
  const text = env[name];
  if (text === undefined || text === '') {
    return fallback;
  }
  const value = Number(text);
  if (!(value >= low && value <= high)) {
    throw new Error(`${name}=${text}: must be a number from ${low} to ${high}`);
  }
  return value;
}

// Without any of these the service of `make run` is asked. Half of a name is refused: there is no domain that is
// everybody's, and load must never go to a host that its sender did not name.
function baseUrl(env) {
  const model = env.MODEL || MODELS[0];
  if (!MODELS.includes(model)) {
    throw new Error(`MODEL=${model}: must be one of ${MODELS.join(', ')}`);
  }
  if (env.BASE_URL) {
    if (!/^https?:\/\/[^/]+/.test(env.BASE_URL)) {
      throw new Error(`BASE_URL=${env.BASE_URL}: must be like ${LOCAL}/${MODELS[0]}`);
    }
    return env.BASE_URL.replace(/\/+$/, '');
  }
  if (!env.NAMESPACE && !env.DOMAIN) {
    return `${LOCAL}/${model}`;
  }
  if (!env.NAMESPACE || !env.DOMAIN) {
    const [given, missing] = env.NAMESPACE ? ['NAMESPACE', 'DOMAIN'] : ['DOMAIN', 'NAMESPACE'];
    throw new Error(
      `${given}=${env[given]} without ${missing} names no host: requests go to https://NAMESPACE.DOMAIN/${model}; ` +
        `give ${missing} as well, or BASE_URL alone`,
    );
  }
  const host = `${env.NAMESPACE}.${env.DOMAIN}`;
  if (!/^[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?$/i.test(host)) {
    throw new Error(`NAMESPACE=${env.NAMESPACE}, DOMAIN=${env.DOMAIN}: ${host} is no host name`);
  }
  return `https://${host}/${model}`;
}

export function readSettings(env) {
  const scenario = env.SCENARIO || 'slo';
  const profile = SCENARIOS[scenario];
  if (!profile) {
    throw new Error(`SCENARIO=${scenario}: must be one of ${Object.keys(SCENARIOS).join(', ')}`);
  }
  return Object.freeze({
    scenario,
    baseUrl: baseUrl(env),
    headers: env.API_KEY ? { Authorization: `Bearer ${env.API_KEY}` } : {},
    cacheRate: number(env, 'CACHE_RATE', 0.95, 0, 1),
    rate: number(env, 'RATE', profile.rate, 0.1, 100000),
    hold: env.DURATION ? seconds(env.DURATION) : profile.hold,
    p99Ms: number(env, 'P99_MS', profile.p99Ms, 0.001, 3600000),
    seed: env.SEED || '',
    report: env.REPORT === undefined ? 'load-report' : env.REPORT,
  });
}
