// Prints what load/ decides, without sending anything: `k6 run --quiet -e COUNT=… probe.js`.

import { readSettings } from '../../load/settings.js';
import { Traffic } from '../../load/traffic.js';

export const options = { iterations: 1, vus: 1 };

export default function () {}

export function handleSummary() {
  const settings = readSettings(__ENV);
  const traffic = new Traffic({ ...settings, hotTexts: Number(__ENV.HOT || 64) });
  const texts = Number(__ENV.TEXTS || 2);
  const requests = Array.from({ length: Number(__ENV.COUNT || 0) }, (_, k) => traffic.request(k, texts));
  return { stdout: JSON.stringify({ settings, hot: traffic.hot, requests }) };
}
