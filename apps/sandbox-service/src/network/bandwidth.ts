import { quote, RuntimeError } from '@gantry/errors';

/** CNI convention `bandwidth`; rates in bits per second, bursts in bits. */
export interface Bandwidth {
  readonly ingressRate?: number;
  readonly ingressBurst?: number;
  readonly egressRate?: number;
  readonly egressBurst?: number;
}

/** The kubelet's annotations, and their limits as the kubelet has them: 1k to 1P bits per second. */
const ingressKey = 'kubernetes.io/ingress-bandwidth';
const egressKey = 'kubernetes.io/egress-bandwidth';
const leastRate = 1e3;
const mostRate = 1e15;
/** No limit of its own: what the plugin's token bucket takes at most. */
const burst = 2 ** 32 - 1;

/** The pod's limits; undefined when no annotation sets one, `invalid-argument` when one is wrong. */
export function parseBandwidth(
  annotations: Readonly<Record<string, string>>,
): Bandwidth | undefined {
  const ingress = rateOf(annotations, ingressKey);
  const egress = rateOf(annotations, egressKey);
  if (ingress === undefined && egress === undefined) {
    return undefined;
  }
  return {
    ...(ingress === undefined ? {} : { ingressRate: ingress, ingressBurst: burst }),
    ...(egress === undefined ? {} : { egressRate: egress, egressBurst: burst }),
  };
}

function rateOf(annotations: Readonly<Record<string, string>>, key: string): number | undefined {
  const text = annotations[key];
  if (text === undefined) {
    return undefined;
  }
  const rate = parseQuantity(text);
  if (rate === undefined) {
    throw new RuntimeError(
      'invalid-argument',
      `annotation ${key}: ${quote(text)} is not a quantity`,
    );
  }
  if (rate < leastRate || rate > mostRate) {
    throw new RuntimeError(
      'invalid-argument',
      `annotation ${key}: ${quote(text)} is not within 1k and 1P`,
    );
  }
  return rate;
}

const decimal = ['', 'k', 'M', 'G', 'T', 'P', 'E'];
const binary = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
const small: Readonly<Record<string, number>> = { m: 1e-3, u: 1e-6, n: 1e-9 };

/**
 * A quantity as Kubernetes writes it (`10M`, `1.5Gi`, `2e6`), rounded up to a whole number as
 * Quantity.Value() does; undefined when it is none.
 */
export function parseQuantity(text: string): number | undefined {
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i))?$/.exec(
    text,
  );
  if (match === null) {
    return undefined;
  }
  const [, number = '', exponent = '', suffix = ''] = match;
  const value = Number(`${number}${exponent}`) * scaleOf(suffix);
  return Number.isFinite(value) ? Math.ceil(value) : undefined;
}

function scaleOf(suffix: string): number {
  return suffix.endsWith('i')
    ? 1024 ** binary.indexOf(suffix)
    : (small[suffix] ?? 1000 ** decimal.indexOf(suffix));
}
