import { RuntimeError } from '@gantry/errors';
import type { ServerCall } from './server-call.ts';

/** The server streams that are open, so that a server that stops can end them. */
export class StreamCalls {
  readonly #open = new Set<ServerCall>();
  #isStopping = false;

  /** Counts `call` as open until the result is disposed of; ends it at once when the server stops. */
  open(call: ServerCall): Disposable {
    this.#open.add(call);
    if (this.#isStopping) {
      stop(call);
    }
    return {
      [Symbol.dispose]: () => {
        this.#open.delete(call);
      },
    };
  }

  /** Ends every stream, and each that is still to come, with `unavailable`. */
  endAll(): void {
    this.#isStopping = true;
    for (const call of this.#open) {
      stop(call);
    }
  }
}

function stop(call: ServerCall): void {
  call.stop(new RuntimeError('unavailable', 'the server is stopping'));
}
