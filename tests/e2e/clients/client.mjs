// Node's own HTTP client, `fetch`, with its defaults: sends the requests of a list, and writes what was answered.
// node client.mjs URL LIST. The list and the answers: see cases.py.

import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const [url, list] = process.argv.slice(2);

function body(mode, file) {
  const content = readFileSync(file);
  if (mode === 'chunked') {
    return new Blob([content]).stream();
  }
  return mode === 'gzip' ? gzipSync(content) : content;
}

for (const line of readFileSync(list, 'utf8').trimEnd().split('\n')) {
  const [name, method, path, mode, file] = line.split('\t');
  const options = { method, signal: AbortSignal.timeout(10_000) };
  if (mode !== 'none') {
    options.headers = { 'Content-Type': 'application/json' };
    options.body = body(mode, file);
    options.duplex = 'half';
  }
  if (mode === 'gzip') {
    options.headers['Content-Encoding'] = 'gzip';
  }
  const response = await fetch(url + path, options);
  const answer = Buffer.from(await response.arrayBuffer()).toString('base64');
  console.log([name, response.status, response.headers.get('content-type') ?? '', answer].join('\t'));
}
