import type { RawHandlers } from '@gantry/bus';
import { RuntimeError } from '@gantry/errors';
import type { Reconciliation } from './reconcile/reconcile.ts';

const patienceMs = 3000;

/**
 * Holds requests back until `recovered`, a short while; those that would wait
 * longer are told to come again, and for which pods they wait. Methods in `open` are answered at any time.
 */
export function gated(
  handlers: RawHandlers,
  { recovered, problem }: Pick<Reconciliation, 'recovered' | 'problem'>,
  open: ReadonlySet<string>,
): RawHandlers {
  let isRecovered = false;
  recovered.then(
    () => {
      isRecovered = true;
    },
    () => undefined,
  );
  const pass = async (): Promise<void> => {
    if (!isRecovered) {
      await within(recovered, problem);
    }
  };
  return new Map(
    [...handlers].map(([method, handler]) => {
      if (open.has(method)) {
        return [method, handler];
      }
      if (handler.kind === 'unary') {
        const handle: typeof handler.handle = async (body, context) => {
          await pass();
          return handler.handle(body, context);
        };
        return [method, { kind: 'unary', handle }];
      }
      const handle: typeof handler.handle = async function* (body, context) {
        await pass();
        yield* handler.handle(body, context);
      };
      return [method, { kind: 'stream', handle }];
    }),
  );
}

async function within(recovered: Promise<void>, problem: Reconciliation['problem']): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(new RuntimeError('unavailable', `sandbox-service is ${problem() ?? 'recovering'}`));
  }, patienceMs);
  try {
    await Promise.race([recovered, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
