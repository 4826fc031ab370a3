import {
  create,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import type { ServiceClient } from '@gantry/proto';
import type { Bus } from './bus.ts';
import type { CallOptions } from './caller.ts';
import type { RawHandler, RawHandlers } from './handler.ts';
import type { CallContext } from './inbound-call.ts';
import type { ServiceName } from './subjects.ts';

/** One method for each RPC of `S`. They reject and throw as Bus.request and Bus.stream do. */
export type BusClient<S extends DescService> = ServiceClient<S, CallOptions>;

type Handler<M extends DescMethod> =
  M extends DescMethodUnary<infer I, infer O>
    ? (request: MessageShape<I>, context: CallContext) => Promise<MessageInitShape<O>>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageShape<I>, context: CallContext) => AsyncIterable<MessageInitShape<O>>
      : never;

/** One async function for each RPC of `S`; a server-streaming RPC is an async generator. */
export type ServiceImpl<S extends DescService> = {
  readonly [K in keyof S['method']]: Handler<S['method'][K]>;
};

/** The name of a method on the bus and in gRPC: `runtime.v1.RuntimeService/Version`. */
export function fullMethod(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

/** Calls `desc` at `service`. */
export function busClient<S extends DescService>(
  bus: Bus,
  service: ServiceName,
  desc: S,
): BusClient<S> {
  const client: Record<string, unknown> = {};
  for (const method of desc.methods) {
    client[method.localName] =
      method.methodKind === 'unary'
        ? unaryCall(bus, service, method)
        : streamCall(bus, service, method);
  }
  return client as BusClient<S>;
}

/**
 * Handlers of the bus for those RPCs of `desc` that `impl` has; the others are
 * answered with `unimplemented`. Several services go into one map by
 * `new Map([...a, ...b])`.
 */
export function busHandlers<S extends DescService>(
  desc: S,
  impl: Partial<ServiceImpl<S>>,
): RawHandlers {
  const handlers = new Map<string, RawHandler>();
  for (const method of desc.methods) {
    const handle = impl[method.localName as keyof S['method']] as AnyHandler | undefined;
    if (handle !== undefined) {
      // Called on `impl`: it may be an object with state.
      handlers.set(fullMethod(method), rawHandler(method, handle.bind(impl)));
    }
  }
  return handlers;
}

type AnyHandler = (request: unknown, context: CallContext) => unknown;

function rawHandler(method: DescMethod, handle: AnyHandler): RawHandler {
  const answer = (message: unknown): Uint8Array =>
    toBinary(
      method.output,
      create(method.output, message as MessageInitShape<typeof method.output>),
    );
  if (method.methodKind === 'unary') {
    return {
      kind: 'unary',
      handle: async (body, context) => answer(await handle(decode(method, body), context)),
    };
  }
  return {
    kind: 'stream',
    handle: async function* (body, context) {
      const messages = handle(decode(method, body), context) as AsyncIterable<unknown>;
      for await (const message of messages) {
        yield answer(message);
      }
    },
  };
}

function decode(method: DescMethod, body: Uint8Array): unknown {
  try {
    return fromBinary(method.input, body);
  } catch (cause) {
    throw new RuntimeError('invalid-argument', `decode request of ${fullMethod(method)}`, {
      cause,
    });
  }
}

function unaryCall(bus: Bus, service: ServiceName, method: DescMethod): unknown {
  const name = fullMethod(method);
  return async (request: MessageInitShape<typeof method.input>, options?: CallOptions) => {
    const body = toBinary(method.input, create(method.input, request));
    return fromBinary(method.output, await bus.request(service, name, body, options));
  };
}

function streamCall(bus: Bus, service: ServiceName, method: DescMethod): unknown {
  const name = fullMethod(method);
  return async function* (
    request: MessageInitShape<typeof method.input>,
    options?: CallOptions,
  ): AsyncGenerator<unknown> {
    const body = toBinary(method.input, create(method.input, request));
    for await (const item of bus.stream(service, name, body, options)) {
      yield fromBinary(method.output, item);
    }
  };
}
