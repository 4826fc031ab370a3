import type {
  DescMethod,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';

type ClientMethod<M extends DescMethod, Options> =
  M extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: Options) => Promise<MessageShape<O>>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageInitShape<I>, options?: Options) => AsyncIterable<MessageShape<O>>
      : never;

/** One function for each RPC of `S`, over whatever carries it; `Options` is what the carrier may be told of a call. */
export type ServiceClient<S extends DescService, Options> = {
  readonly [K in keyof S['method']]: ClientMethod<S['method'][K], Options>;
};
