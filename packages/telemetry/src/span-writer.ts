import type { Context } from '@opentelemetry/api';
import type { ReadableSpan, Span, SpanProcessor } from '@opentelemetry/sdk-trace';
import { ownerOf } from './span-owner.ts';
import {
  ownerInstanceAttribute,
  ownerServiceAttribute,
  type SpanRecord,
  toSpanRecord,
} from './span-record.ts';
import type { TraceStore } from './trace-store.ts';

const flushEveryMs = 500;
const maxQueued = 10_000;
const trimAfterSpans = 500;
const giveUpAfterFailures = 20; // Ten seconds of a database that can't be written.

export interface SpanWriterOptions {
  readonly owner: { readonly service: string; readonly instance: string };
  /** Opens the database; called at the first batch, and again after it failed. */
  readonly open: () => Promise<TraceStore>;
  /** Called once, the first time that spans are lost. */
  readonly warn: (cause: unknown) => void;
}

/**
 * Writes finished spans to the local trace database in batches. It never
 * throws and never waits for the database: what can't be written is dropped.
 */
export class SpanWriter implements SpanProcessor {
  readonly #options: SpanWriterOptions;
  #queue: SpanRecord[] = [];
  #timer: NodeJS.Timeout | undefined;
  #store: TraceStore | undefined;
  #flushing: Promise<void> | undefined;
  #sinceTrim = 0;
  #failures = 0;
  #warned = false;
  #stopped = false;
  #clockStepMs = 0;

  constructor(options: SpanWriterOptions) {
    this.#options = options;
  }

  onStart(span: Span, parent: Context): void {
    const owner = ownerOf(parent);
    if (owner !== undefined) {
      span.setAttribute(ownerServiceAttribute, owner.service);
      span.setAttribute(ownerInstanceAttribute, owner.instance);
    }
  }

  onEnd(span: ReadableSpan): void {
    if (this.#stopped || this.#queue.length >= maxQueued) {
      return;
    }
    this.#queue.push(toSpanRecord(span, this.#nowUs(), this.#options.owner));
    this.#flushLater();
  }

  #flushLater(): void {
    if (this.#timer === undefined) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        void this.forceFlush();
      }, flushEveryMs);
      this.#timer.unref();
    }
  }

  /** Writes what has ended so far. Never rejects. */
  async forceFlush(): Promise<void> {
    while (this.#flushing !== undefined) {
      await this.#flushing;
    }
    if (this.#queue.length === 0) {
      return;
    }
    this.#flushing = this.#flush();
    await this.#flushing;
    this.#flushing = undefined;
  }

  async shutdown(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // Another process may hold the database for a moment: a few tries.
    for (let tries = 0; tries < 10 && (tries === 0 || this.#queue.length > 0); tries++) {
      await this.forceFlush();
    }
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#attempt(() => this.#store?.trim());
    this.#attempt(() => this.#store?.[Symbol.dispose]());
    this.#store = undefined;
  }

  // The monotonic clock is finer than Date, and the same in every process; only a step of the
  // wall clock since the start of this process has to be made up for.
  #nowUs(): number {
    const precise = performance.timeOrigin + performance.now();
    const step = Date.now() - precise;
    if (Math.abs(step - this.#clockStepMs) > 20) {
      this.#clockStepMs = step;
    }
    return Math.round((precise + this.#clockStepMs) * 1000);
  }

  async #flush(): Promise<void> {
    const batch = this.#queue;
    this.#queue = [];
    try {
      this.#store ??= await this.#options.open();
      this.#store.add(batch);
      this.#failures = 0;
      this.#sinceTrim += batch.length;
      if (this.#sinceTrim >= trimAfterSpans) {
        this.#sinceTrim = 0;
        this.#store.trim();
      }
    } catch (cause) {
      this.#failed(batch, cause);
    }
  }

  #failed(batch: SpanRecord[], cause: unknown): void {
    this.#failures++;
    if (this.#store !== undefined && this.#failures < giveUpAfterFailures) {
      this.#queue = [...batch, ...this.#queue].slice(0, maxQueued);
      // Not with the next span: there may be none for long.
      this.#flushLater();
      return;
    }
    // Opened anew for the next batch: the file may have been removed, or be back.
    this.#attempt(() => this.#store?.[Symbol.dispose]());
    this.#store = undefined;
    this.#failures = 0;
    if (!this.#warned) {
      this.#warned = true;
      this.#options.warn(cause);
    }
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch {
      // A trace is never worth an error of its host.
    }
  }
}
