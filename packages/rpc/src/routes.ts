/** What a route may know of the call that it answers. */
export interface IncomingCall {
  /** Aborts when the client cancels or goes away (AbortError), or its deadline passes (TimeoutError). */
  readonly signal: AbortSignal;
  /** The client's deadline, in milliseconds since 1970. */
  readonly deadlineMs: number | undefined;
  /** The first value of a request header; `name` in lower case. */
  header(name: string): string | undefined;
}

/** Answers calls by their full method, such as `runtime.v1.RuntimeService/Version`. */
export interface Routes {
  /** What it throws is told to the client by kind and message. */
  unary(method: string, body: Uint8Array, call: IncomingCall): Promise<Uint8Array>;
  /** Pulled only as fast as the client reads; returned from when the client leaves. */
  stream(method: string, body: Uint8Array, call: IncomingCall): AsyncIterable<Uint8Array>;
}
