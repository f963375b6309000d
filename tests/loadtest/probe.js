// Prints what loadtest/ decides, without sending anything: `k6 run --quiet -e COUNT=… probe.js`.

import { readSettings } from '../../loadtest/settings.js';
import { Traffic } from '../../loadtest/traffic.js';

export const options = { iterations: 1, vus: 1 };

export default function () {}

export function handleSummary() {
  const settings = readSettings(__ENV);
  const traffic = new Traffic({ ...settings, hotTexts: Number(__ENV.HOT || 64) });
  const texts = Number(__ENV.TEXTS || 2);
  const requests = Array.from({ length: Number(__ENV.COUNT || 0) }, (_, k) => traffic.request(k, texts));
  return { stdout: JSON.stringify({ settings, hot: traffic.hot, requests }) };
}
