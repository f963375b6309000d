// Decides what request number k asks for, as a function of the seed and k alone, whichever virtual user sends it.

import { compose } from './texts.js';

const BLOCK = 100;
// Requests in a thousand that come from the hot set beyond CACHE_RATE: a perfect cache must be able to exceed it.
const BEYOND = 10;

function hash(text) {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) {
    value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  }
  return value >>> 0;
}

// Splitmix32: a stream of numbers from 0 to 1 of its own for every name.
export function stream(...name) {
  let state = hash(name.join('/'));
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 4294967296;
  };
}

export function newPerThousand(cacheRate) {
  const rest = Math.round(1000 * (1 - cacheRate));
  return cacheRate > 0 && cacheRate < 1 ? Math.max(1, rest - BEYOND) : rest;
}

export class Traffic {
  constructor({ seed, cacheRate, hotTexts }) {
    this.seed = seed;
    this.newPerThousand = newPerThousand(cacheRate);
    this.hot = this.distinct(hotTexts);
    // Zipf's law: the k-th is asked for 1/k as often as the first.
    let sum = 0;
    this.weights = this.hot.map((_, index) => (sum += 1 / (index + 1)));
    this.block = { number: -1, fresh: new Set() };
  }

  // Request number k: `texts` of them, all from the hot set or all never asked for before.
  request(k, texts) {
    const random = stream(this.seed, 'request', k);
    if (this.isNew(k)) {
      const numbers = Array.from({ length: texts }, (_, i) => k * texts + i);
      return { hot: false, texts: numbers.map((number) => this.fresh(number)) };
    }
    return { hot: true, texts: Array.from({ length: texts }, () => this.popular(random())) };
  }

  // Exact in number, and spread over each hundred: neither the share nor the first minute may depend on luck. Each
  // comes somewhere in the second half of its part of the hundred, so that a short run does not have more of them.
  isNew(k) {
    const number = Math.floor(k / BLOCK);
    if (number !== this.block.number) {
      const upTo = (blocks) => Math.floor((blocks * BLOCK * this.newPerThousand) / 1000);
      const random = stream(this.seed, 'block', number);
      const count = upTo(number + 1) - upTo(number);
      const start = (part) => Math.ceil((part * BLOCK) / count);
      const places = Array.from({ length: count }, (_, part) => {
        const half = Math.floor((start(part) + start(part + 1)) / 2);
        return half + Math.floor(random() * (start(part + 1) - half));
      });
      this.block = { number, fresh: new Set(places) };
    }
    return this.block.fresh.has(k % BLOCK);
  }

  popular(share) {
    const wanted = share * this.weights[this.weights.length - 1];
    let low = 0;
    let high = this.weights.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.weights[middle] > wanted) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return this.hot[low];
  }

  // The order number makes it unlike any other text of the run: multiplying by an odd number loses nothing.
  fresh(number) {
    const order = (Math.imul(number + 1, 0x9e3779b1) ^ hash(this.seed)) >>> 0;
    return `${compose(stream(this.seed, 'new', number))} Order ${order}.`;
  }

  distinct(count) {
    const found = new Set();
    for (let number = 0; found.size < count; number += 1) {
      found.add(compose(stream(this.seed, 'hot', number)));
    }
    return [...found];
  }
}
