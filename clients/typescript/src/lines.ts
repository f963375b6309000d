/** Texts as lines of a request, and lines of an answer. */

export const NDJSON = "application/x-ndjson";

/** How far the sending is: texts taken, whether those were all, and what went wrong with taking them. */
export interface Sent {
  texts: number;
  all: boolean;
  fault: unknown;
}

/** Return a body that has a line for each text; each is taken when there is room for it. */
export function linesOf(texts: Iterable<string> | AsyncIterable<string>, sent: Sent): ReadableStream<Uint8Array> {
  const source = Symbol.asyncIterator in texts ? texts[Symbol.asyncIterator]() : texts[Symbol.iterator]();
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const next = await source.next();
        if (next.done) {
          sent.all = true;
          controller.close();
          return;
        }
        if (typeof next.value !== "string") throw new TypeError(`a text must be a string, not ${typeof next.value}`);
        sent.texts += 1;
        controller.enqueue(encoder.encode(`${JSON.stringify({ text: next.value })}\n`));
      } catch (error) {
        sent.fault = error;
        controller.error(error);
      }
    },
    async cancel() {
      await source.return?.();
    },
  });
}

/** Yield the lines of a body as they come. */
export async function* split(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const part of body as unknown as AsyncIterable<Uint8Array>) {
    const lines = (rest + decoder.decode(part, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
