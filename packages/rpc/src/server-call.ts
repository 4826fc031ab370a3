import { constants, type ServerHttp2Stream } from 'node:http2';
import { RuntimeError } from '@gantry/errors';
import { startDeadline } from './grpc-timeout.ts';
import { acceptedEncodings } from './message-encoding.ts';
import { writeMessage } from './message-frame.ts';
import type { IncomingCall } from './routes.ts';
import { okTrailers, type StatusTrailers, statusTrailers } from './status-trailers.ts';

// A client whose deadline passes also cancels, and its clock started a little before ours.
const deadlineSlackMs = 250;

const answerHeaders = {
  [constants.HTTP2_HEADER_STATUS]: 200,
  [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
};

// Node's types do not know sendDate; no gRPC client reads a date.
const beforeMessages = { waitForTrailers: true, sendDate: false };
const beforeNothing = { endStream: true, sendDate: false };

export interface ServerCallOptions {
  readonly stream: ServerHttp2Stream;
  /** Names and values in turn, as node gives them. */
  readonly rawHeaders: readonly string[];
  /** The largest answer, in bytes. */
  readonly maxMessageBytes: number;
}

/**
 * One call on one HTTP/2 stream.
 *
 *   open ---- finish, fail ----------------------> over   the route has answered
 *   open ---- deadline, stop: status to client --> over   the signal aborts
 *   open ---- the stream closes -----------------> over   the signal aborts
 *
 * What a route does with a call that is over has no effect.
 */
export class ServerCall implements IncomingCall {
  readonly #stream: ServerHttp2Stream;
  readonly #rawHeaders: readonly string[];
  readonly #maxMessageBytes: number;
  #deadlineMs: number | undefined;
  #clearDeadline: (() => void) | undefined;
  #controller: AbortController | undefined;
  #abortReason: Error | undefined;
  #isOver = false;
  #hasWholeRequest = false;
  #trailers = okTrailers;
  #wakeWriter: (() => void) | undefined;

  constructor({ stream, rawHeaders, maxMessageBytes }: ServerCallOptions) {
    this.#stream = stream;
    this.#rawHeaders = rawHeaders;
    this.#maxMessageBytes = maxMessageBytes;
    stream.once('close', () => {
      this.#leave();
    });
    stream.once('wantTrailers', () => {
      stream.sendTrailers(this.#trailers);
    });
  }

  get deadlineMs(): number | undefined {
    return this.#deadlineMs;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortReason !== undefined) {
        this.#controller.abort(this.#abortReason);
      }
    }
    return this.#controller.signal;
  }

  header(name: string): string | undefined {
    const headers = this.#rawHeaders;
    for (let i = 0; i < headers.length; i += 2) {
      if (headers[i] === name) {
        return headers[i + 1];
      }
    }
    return undefined;
  }

  isOver(): boolean {
    return this.#isOver;
  }

  /** Ends the call with `deadline-exceeded` when the time is up. */
  setDeadline(timeoutMs: number): void {
    this.#deadlineMs = Date.now() + timeoutMs;
    this.#clearDeadline = startDeadline(this.#deadlineMs, () => {
      this.stop(deadlinePassed());
    });
  }

  /** The client has said that it sends no more, so that its side need not be closed for it. */
  endRequest(): void {
    this.#hasWholeRequest = true;
  }

  /** Answers with one message. */
  finish(body: Uint8Array): void {
    if (this.#isOver) {
      return;
    }
    this.write(body);
    this.end();
  }

  /** Sends one message; `false` says to wait for `drained` before the next. */
  write(body: Uint8Array): boolean {
    if (this.#isOver || !this.#isWritable()) {
      return true;
    }
    if (body.length > this.#maxMessageBytes) {
      this.fail(
        new RuntimeError(
          'resource-exhausted',
          `send answer: a message of ${body.length} bytes is larger than max (${this.#maxMessageBytes} bytes)`,
        ),
      );
      return true;
    }
    if (!this.#stream.headersSent) {
      this.#stream.respond(answerHeaders, beforeMessages);
    }
    return writeMessage(this.#stream, body);
  }

  /** Resolves when there is room for the next message, or the call is over. */
  async drained(): Promise<void> {
    if (this.#isOver) {
      return;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wakeWriter = resolve;
    this.#stream.once('drain', resolve);
    await promise;
    this.#stream.off('drain', resolve);
  }

  end(): void {
    if (this.#close()) {
      this.#sendStatus(okTrailers);
    }
  }

  /** Tells the client of `error` by its kind and messages. */
  fail(error: unknown): void {
    if (this.#close()) {
      this.#sendStatus(statusTrailers(error));
    }
  }

  /** Ends the call before its route does: `reason` is told to the client and aborts the signal. */
  stop(reason: Error): void {
    if (this.#close()) {
      this.#sendStatus(statusTrailers(reason));
      this.#abort(reason);
    }
  }

  #leave(): void {
    if (this.#close()) {
      const isLate =
        this.#deadlineMs !== undefined && Date.now() >= this.#deadlineMs - deadlineSlackMs;
      this.#abort(
        isLate
          ? deadlinePassed()
          : new DOMException('the client has canceled the call', 'AbortError'),
      );
    }
  }

  #close(): boolean {
    if (this.#isOver) {
      return false;
    }
    this.#isOver = true;
    this.#clearDeadline?.();
    this.#wakeWriter?.();
    return true;
  }

  #abort(reason: Error): void {
    this.#abortReason = reason;
    this.#controller?.abort(reason);
  }

  #isWritable(): boolean {
    return !this.#stream.destroyed && !this.#stream.closed;
  }

  #sendStatus(trailers: StatusTrailers): void {
    const stream = this.#stream;
    if (!this.#isWritable()) {
      return;
    }
    if (stream.headersSent) {
      this.#trailers = trailers;
      stream.end();
    } else {
      const isEncodingAsked = trailers['grpc-status'] === '12' && this.header('grpc-encoding');
      stream.respond(
        {
          ...answerHeaders,
          ...trailers,
          ...(isEncodingAsked ? { 'grpc-accept-encoding': acceptedEncodings } : {}),
        },
        beforeNothing,
      );
    }
    if (!this.#hasWholeRequest) {
      // What still comes of the request is not for us: RFC 9113, 8.1.
      stream.close(constants.NGHTTP2_NO_ERROR);
    }
  }
}

function deadlinePassed(): DOMException {
  return new DOMException('the deadline has passed', 'TimeoutError');
}
