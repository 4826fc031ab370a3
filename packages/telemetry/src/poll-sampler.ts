import {
  type Attributes,
  type Context,
  isSpanContextValid,
  type SpanKind,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import { type Sampler, SamplingDecision, type SamplingResult } from '@opentelemetry/sdk-trace';
import { isReadOnly } from './read-only-method.ts';
import { entryAttribute, failedAttribute } from './span-record.ts';

const burst = 50;
const perSecond = 2;
const closeLookMs = 30_000;

const keep: SamplingResult = { decision: SamplingDecision.RECORD_AND_SAMPLED };
const drop: SamplingResult = { decision: SamplingDecision.NOT_RECORD };

export interface PollSamplerOptions {
  /** Take the caller's word for what is worth keeping: its backend gets our spans too. */
  readonly followCaller: boolean;
  /** Milliseconds; any clock that only goes forward. */
  readonly now?: () => number;
}

/**
 * Decides where a request enters the node whether its spans are recorded: yes
 * for whatever changes something, and twice a second for the methods that only
 * read, which a kubelet calls all day long. After one of them has failed, all
 * of its name are recorded for half a minute. The other spans of a request
 * follow the first.
 */
export class PollSampler implements Sampler {
  readonly #options: PollSamplerOptions;
  readonly #closeLookUntil = new Map<string, number>();
  readonly #now: () => number;
  #tokens = burst;
  #filledAt: number;

  constructor(options: PollSamplerOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#filledAt = this.#now();
  }

  shouldSample(
    context: Context,
    _traceId: string,
    name: string,
    _kind: SpanKind,
    attributes: Attributes,
  ): SamplingResult {
    const followed = this.#follow(context, attributes[entryAttribute] === true);
    if (followed !== undefined) {
      return followed;
    }
    if (attributes[failedAttribute] === true) {
      this.#closeLookUntil.set(name, this.#now() + closeLookMs);
      return keep;
    }
    return !isReadOnly(name) || this.#isCloselyLookedAt(name) || this.#takeToken() ? keep : drop;
  }

  /** What the parent has decided, where it decides. */
  #follow(context: Context, isEntry: boolean): SamplingResult | undefined {
    const parent = trace.getSpanContext(context);
    if (parent === undefined || !isSpanContextValid(parent)) {
      return undefined;
    }
    if ((parent.traceFlags & TraceFlags.SAMPLED) !== 0) {
      return keep;
    }
    return isEntry && !this.#options.followCaller ? undefined : drop;
  }

  toString(): string {
    return 'PollSampler';
  }

  #isCloselyLookedAt(name: string): boolean {
    const until = this.#closeLookUntil.get(name);
    return until !== undefined && this.#now() < until;
  }

  #takeToken(): boolean {
    const now = this.#now();
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#filledAt) * perSecond) / 1000);
    this.#filledAt = now;
    if (this.#tokens < 1) {
      return false;
    }
    this.#tokens--;
    return true;
  }
}
