import type { Bus, CallOptions, ServiceName } from '@gantry/bus';
import { isKind, kindOf, messageOf, RuntimeError } from '@gantry/errors';
import type { IncomingCall, Routes } from '@gantry/rpc';
import { openRemoteSpan, type RemoteSpan } from '@gantry/telemetry';
import type { OperationCounts } from './operation-metrics.ts';
import { type Route, routeTable } from './route-table.ts';

export interface ForwardDeps {
  readonly bus: Pick<Bus, 'connected' | 'request' | 'stream'>;
  /** By full method; methods without an entry are not counted. */
  readonly counts: ReadonlyMap<string, OperationCounts>;
}

/** The name that an operator knows a service by. */
const appOf: Readonly<Record<ServiceName, string>> = {
  gateway: 'cri-gateway',
  image: 'image-service',
  sandbox: 'sandbox-service',
  stream: 'stream-server',
  nri: 'nri-broker',
  cli: 'gantry',
};

/**
 * Sends each call, as the bytes that came, to the service that the route table
 * names, with the caller's deadline, cancel and trace.
 */
export function forward({ bus, counts }: ForwardDeps): Routes {
  return {
    unary: async (method, body, call) => {
      const { route, span, options } = open(method, call);
      const count = counts.get(method);
      const start = performance.now();
      count?.begin();
      let failure: unknown;
      try {
        return await span.run(() => bus.request(route.owner, method, body, options));
      } catch (error) {
        failure = explain(error, method, route, bus);
        throw failure;
      } finally {
        span.end(failure);
        count?.end(performance.now() - start, failure !== undefined);
      }
    },

    stream: async function* (method, body, call) {
      const { route, span, options } = open(method, call);
      const count = counts.get(method);
      count?.begin();
      let failure: unknown;
      try {
        const items = span.run(() => bus.stream(route.owner, method, body, options));
        const iterator = items[Symbol.asyncIterator]();
        yield* { [Symbol.asyncIterator]: () => inside(span, iterator) };
      } catch (error) {
        failure = explain(error, method, route, bus);
        throw failure;
      } finally {
        span.end(failure);
        // How long a watch stays open says nothing of the runtime.
        count?.end(undefined, failure !== undefined);
      }
    },
  };
}

function open(
  method: string,
  call: IncomingCall,
): { route: Route; span: RemoteSpan; options: CallOptions } {
  const route = routeTable.get(method);
  if (route === undefined) {
    throw new RuntimeError('unimplemented', `${method}: no service has this method`);
  }
  const { signal, deadlineMs } = call;
  const carrier = traceHeaders(call);
  const attributes = { 'rpc.system': 'grpc', 'rpc.method': route.operation };
  return {
    route,
    span: openRemoteSpan(method, attributes, carrier),
    options: { signal, deadlineMs, carrier },
  };
}

function traceHeaders(call: IncomingCall): Record<string, string> {
  const traceparent = call.header('traceparent');
  if (traceparent === undefined) {
    return {};
  }
  const tracestate = call.header('tracestate');
  return tracestate === undefined ? { traceparent } : { traceparent, tracestate };
}

// The bus opens its own span when it is first asked for an item.
function inside<T>(span: RemoteSpan, iterator: AsyncIterator<T>): AsyncIterator<T> {
  return {
    next: () => span.run(() => iterator.next()),
    return: async () =>
      (await span.run(() => iterator.return?.())) ?? { done: true, value: undefined },
  };
}

/** Says what an operator can do where the bus only knows that nobody answered. */
function explain(
  error: unknown,
  method: string,
  { owner }: Route,
  bus: Pick<Bus, 'connected'>,
): unknown {
  if (kindOf(error) === 'unimplemented' && messageOf(error).endsWith('is not offered')) {
    return new RuntimeError('unimplemented', `${method}: ${appOf[owner]} does not offer it`);
  }
  if (!isKind(error, 'unavailable')) {
    return error;
  }
  if (!bus.connected) {
    return new RuntimeError(
      'unavailable',
      `${method}: the gateway has no connection to NATS: is nats-server running? (gantry doctor)`,
      { cause: error },
    );
  }
  if (messageOf(error).endsWith('no instance is running')) {
    return new RuntimeError(
      'unavailable',
      `no instance of ${appOf[owner]} answers ${method}: is it running? (gantry doctor)`,
    );
  }
  return error;
}
