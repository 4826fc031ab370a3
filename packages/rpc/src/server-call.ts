import { once } from 'node:events';
import { grpcCodeOf, kindOf, messageOf, RuntimeError } from '@gantry/errors';
import type {
  ServerUnaryCall,
  ServerWritableStream,
  sendUnaryData,
  UntypedHandleCall,
} from '@grpc/grpc-js';

/** What a route may know of the call that it answers. */
export interface IncomingCall {
  /** Aborts when the client cancels or goes away (AbortError), or its deadline passes (TimeoutError). */
  readonly signal: AbortSignal;
  /** The client's deadline, in milliseconds since 1970. */
  readonly deadlineMs: number | undefined;
  /** The first value of a request header. */
  header(name: string): string | undefined;
}

/** Answers calls by their full method, such as `runtime.v1.RuntimeService/Version`. */
export interface Routes {
  /** What it throws is told to the client by kind and message. */
  unary(method: string, body: Uint8Array, call: IncomingCall): Promise<Uint8Array>;
  /** Pulled only as fast as the client reads; returned from when the client leaves. */
  stream(method: string, body: Uint8Array, call: IncomingCall): AsyncIterable<Uint8Array>;
}

// A client whose deadline passes also cancels, and its clock started a little before ours.
const deadlineSlackMs = 250;

type UnaryCall = ServerUnaryCall<Buffer, Uint8Array>;
type StreamCall = ServerWritableStream<Buffer, Uint8Array>;

/** The streams that are open, so that a server that stops can end them. */
export class CallsInFlight {
  readonly #streams = new Set<AbortController>();

  add(controller: AbortController): void {
    this.#streams.add(controller);
  }

  remove(controller: AbortController): void {
    this.#streams.delete(controller);
  }

  endStreams(): void {
    for (const controller of this.#streams) {
      controller.abort(new RuntimeError('unavailable', 'the server is stopping'));
    }
  }
}

export function unaryHandler(method: string, routes: Routes): UntypedHandleCall {
  return (call: UnaryCall, callback: sendUnaryData<Uint8Array>) => {
    const { incoming, settle } = incomingCall(call);
    Promise.try(() => routes.unary(method, call.request, incoming)).then(
      (response) => {
        settle();
        callback(null, response);
      },
      (error: unknown) => {
        settle();
        callback(toStatus(error));
      },
    );
  };
}

export function streamHandler(
  method: string,
  routes: Routes,
  calls: CallsInFlight,
): UntypedHandleCall {
  const handle = async (call: StreamCall): Promise<void> => {
    const { incoming, controller, settle } = incomingCall(call);
    const { signal } = incoming;
    calls.add(controller);
    try {
      for await (const message of routes.stream(method, call.request, incoming)) {
        if (!call.write(message)) {
          await once(call, 'drain', { signal });
        }
      }
      if (isStop(signal)) {
        throw signal.reason;
      }
      call.end();
    } catch (error) {
      // Not destroy(): grpc-js sends the status from its 'error' listener.
      call.emit('error', toStatus(isStop(signal) ? signal.reason : error));
    } finally {
      settle();
      calls.remove(controller);
    }
  };
  return (call: StreamCall) => {
    void handle(call);
  };
}

function isStop(signal: AbortSignal): boolean {
  return signal.aborted && signal.reason instanceof RuntimeError;
}

function incomingCall(call: UnaryCall | StreamCall): {
  incoming: IncomingCall;
  controller: AbortController;
  /** Says that the call is answered: grpc-js tells of its end as of a cancel. */
  settle: () => void;
} {
  const controller = new AbortController();
  const deadline = call.getDeadline();
  const deadlineMs = typeof deadline === 'number' ? deadline : deadline.getTime();
  const abort = (): void => {
    controller.abort(
      Date.now() >= deadlineMs - deadlineSlackMs
        ? new DOMException('the deadline has passed', 'TimeoutError')
        : new DOMException('the client has canceled the call', 'AbortError'),
    );
  };
  if (call.cancelled) {
    abort();
  } else {
    call.once('cancelled', abort);
  }
  return {
    controller,
    settle: () => {
      call.off('cancelled', abort);
    },
    incoming: {
      signal: controller.signal,
      deadlineMs: Number.isFinite(deadlineMs) ? deadlineMs : undefined,
      header: (name) => {
        const value = call.metadata.get(name)[0];
        return value === undefined ? undefined : value.toString();
      },
    },
  };
}

/** Says what the client is told of `error`: the outermost kind, and every message. */
function toStatus(error: unknown): { code: number; details: string } {
  return { code: grpcCodeOf(kindOf(error)), details: messageOf(error) };
}
