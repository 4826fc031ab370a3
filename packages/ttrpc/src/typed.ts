import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import type { CallOptions, TtrpcClient } from './client.ts';
import { checkFieldCount } from './field-count.ts';
import type { Handler, HandlerContext } from './server.ts';

type UnaryMethods<S extends DescService> = {
  [K in keyof S['method']]: S['method'][K] extends { methodKind: 'unary' } ? S['method'][K] : never;
};

/** One async function for each unary method of a service, by its local name. */
export type ServiceHandlers<S extends DescService> = {
  [K in keyof UnaryMethods<S>]?: (
    request: MessageShape<UnaryMethods<S>[K]['input']>,
    context: HandlerContext,
  ) => Promise<MessageInitShape<UnaryMethods<S>[K]['output']>>;
};

export interface ParseOptions {
  /** A message of more fields, those of messages in it counted too, is not parsed; any number unless said otherwise. */
  readonly maxFields?: number;
}

/**
 * Calls a method of a generated service. Throws as `TtrpcClient.call`, and
 * `resource-exhausted` for an answer of too many fields.
 */
export async function callMethod<M extends DescMethodUnary>(
  client: TtrpcClient,
  method: M,
  request: MessageInitShape<M['input']>,
  options?: CallOptions & ParseOptions,
): Promise<MessageShape<M['output']>> {
  const payload = toBinary(method.input, create(method.input, request));
  const answer = await client.call(method.parent.typeName, method.name, payload, options);
  try {
    return checkedMessage<M['output']>(method.output, answer, options);
  } catch (cause) {
    if (cause instanceof RuntimeError) {
      throw new RuntimeError(cause.kind, `${method.name}: an answer that is too large`, { cause });
    }
    throw new RuntimeError('internal', `${method.name}: an answer that is none`, { cause });
  }
}

/** The entry of a generated service in the `Services` of a server; methods without a handler are unimplemented. */
export function serviceHandlers<S extends DescService>(
  service: S,
  handlers: ServiceHandlers<S>,
  options?: ParseOptions,
): readonly [string, ReadonlyMap<string, Handler>] {
  const methods = new Map<string, Handler>();
  for (const method of service.methods) {
    const handle = (
      handlers as Record<
        string,
        | ((r: unknown, c: HandlerContext) => Promise<MessageInitShape<typeof method.output>>)
        | undefined
      >
    )[method.localName];
    if (handle !== undefined && method.methodKind === 'unary') {
      methods.set(method.name, async (payload, context) => {
        const answer = await handle(parse(method, payload, options), context);
        return toBinary(method.output, create(method.output, answer));
      });
    }
  }
  return [service.typeName, methods];
}

function parse(method: DescMethod, payload: Uint8Array, options?: ParseOptions): unknown {
  try {
    return checkedMessage(method.input, payload, options);
  } catch (cause) {
    if (cause instanceof RuntimeError) {
      throw new RuntimeError(cause.kind, `${method.name}: a request that is too large`, { cause });
    }
    throw new RuntimeError('invalid-argument', `${method.name}: malformed request`, { cause });
  }
}

/** Without what the schema does not know: nobody asks for it, and it takes far more room than on the wire. */
function checkedMessage<D extends DescMessage>(
  schema: D,
  bytes: Uint8Array,
  options?: ParseOptions,
): MessageShape<D> {
  if (options?.maxFields !== undefined) {
    checkFieldCount(schema, bytes, options.maxFields);
  }
  return fromBinary(schema, bytes, { readUnknownFields: false });
}
