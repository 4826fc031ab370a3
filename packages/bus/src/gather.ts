import { kindOf, RuntimeError } from '@gantry/errors';
import type { Msg } from '@nats-io/transport-node';
import { BodyAssembler } from './body.ts';
import { frameCost, ReceiveWindow } from './flow.ts';
import { decodeReply, encodeFrame, type Frame } from './frame.ts';
import type { Link } from './link.ts';
import { instanceOfCall, type ServiceSubjects } from './subjects.ts';

const nothing = new Uint8Array(0);

/** How long nobody new must come forward before those known are taken for all. */
export const quietMs = 100;

/** The same when this bus asks for the first time, and knows nobody to wait for. */
export const firstQuietMs = 300;

/** What one instance said. */
export interface Answer {
  readonly instance: string;
  readonly body: Uint8Array;
}

interface Instance {
  readonly address: string;
  readonly assembler: BodyAssembler;
  readonly received: ReceiveWindow;
  body: Uint8Array | undefined;
  over: boolean;
}

export interface GatherOptions {
  readonly link: Link;
  readonly subjects: ServiceSubjects;
  readonly method: string;
  readonly key: string;
  readonly maxBodyBytes: number;
  readonly timeoutMs: number;
  /** Instances that answered last time: worth waiting for. */
  readonly expected: ReadonlySet<string>;
  readonly onOver: () => void;
}

/**
 * One question to every instance. Each says `accept` at once; the call is over
 * when all of these, and all that answered last time, are done and nobody new
 * came for a moment, or at the timeout. The server tells when there is none at
 * all: as long as it does not, a first one is waited for.
 */
export class GatherCall {
  /** Where the question goes. */
  readonly subject: string;
  readonly #o: GatherOptions;
  readonly #instances = new Map<string, Instance>();
  readonly #result = Promise.withResolvers<readonly Answer[]>();
  readonly #deadline: NodeJS.Timeout;
  #quiet: NodeJS.Timeout;
  #isQuiet = false;
  #over = false;

  constructor(options: GatherOptions) {
    this.#o = options;
    this.subject = options.subjects.every(options.method);
    // The asker may have left before it is told.
    this.#result.promise.catch(() => undefined);
    this.#deadline = setTimeout(() => {
      this.#finish();
    }, options.timeoutMs);
    this.#quiet = this.#startQuiet();
  }

  /** Rejects only when the connection is lost. */
  get result(): Promise<readonly Answer[]> {
    return this.#result.promise;
  }

  receive(msg: Msg): void {
    const frame = decodeReply(msg);
    if (frame.type === 'nobody') {
      this.#finish();
      return;
    }
    const name = instanceOfCall(this.#o.subjects, this.#o.key, msg.reply);
    if (name === undefined || msg.reply === undefined) {
      return;
    }
    const instance = this.#instances.get(name) ?? this.#add(name, msg.reply);
    try {
      this.#onFrame(instance, frame, msg.data);
    } catch {
      // Parts that make no sense, or too many: this one has no answer.
      instance.over = true;
      this.#tell(instance, { type: 'cancel' });
    }
    this.#finishIfAll();
  }

  abandon(error: RuntimeError): void {
    this.close();
    this.#result.reject(new RuntimeError(kindOf(error), 'ask every instance', { cause: error }));
  }

  /** Ends the call without a result. */
  close(): void {
    if (!this.#over) {
      this.#over = true;
      this.#clear();
    }
  }

  tick(): void {
    // The timeout bounds the call; silence needs no look.
  }

  #onFrame(instance: Instance, frame: Frame, bytes: Uint8Array): void {
    if (frame.type === 'beat') {
      this.#tell(instance, { type: 'keep' });
    } else if (frame.type === 'error' || frame.type === 'malformed') {
      instance.over = true;
    } else if (frame.type === 'answer' && !instance.over) {
      const { part } = frame;
      instance.body = part === undefined ? bytes : instance.assembler.add(part, bytes);
      instance.over = instance.body !== undefined;
      if (!instance.over) {
        instance.received.take(frameCost(bytes));
      }
    }
  }

  #add(name: string, address: string): Instance {
    const instance: Instance = {
      address,
      assembler: new BodyAssembler(this.#o.maxBodyBytes),
      received: new ReceiveWindow((bytes) => {
        this.#tell(instance, { type: 'ack', bytes });
      }),
      body: undefined,
      over: false,
    };
    this.#instances.set(name, instance);
    clearTimeout(this.#quiet);
    this.#quiet = this.#startQuiet();
    return instance;
  }

  #startQuiet(): NodeJS.Timeout {
    this.#isQuiet = false;
    const quiet = setTimeout(
      () => {
        // What came in while this process was held up is heard first.
        setImmediate(() => {
          this.#isQuiet = quiet === this.#quiet;
          this.#finishIfAll();
        });
      },
      this.#o.expected.size > 0 ? quietMs : firstQuietMs,
    );
    return quiet;
  }

  #finishIfAll(): void {
    const all =
      this.#instances.size > 0 &&
      [...this.#instances.values()].every((instance) => instance.over) &&
      [...this.#o.expected].every((name) => this.#instances.has(name));
    if (all && this.#isQuiet) {
      this.#finish();
    }
  }

  #finish(): void {
    if (this.#over) {
      return;
    }
    this.#over = true;
    this.#clear();
    const answers: Answer[] = [];
    for (const [instance, { body, over, ...rest }] of this.#instances) {
      if (body !== undefined) {
        answers.push({ instance, body });
      } else if (!over) {
        this.#tell(rest, { type: 'cancel' });
      }
    }
    this.#result.resolve(answers);
  }

  #clear(): void {
    clearTimeout(this.#deadline);
    clearTimeout(this.#quiet);
    this.#o.onOver();
  }

  #tell({ address }: { readonly address: string }, frame: Frame): void {
    this.#o.link.tell(address, nothing, encodeFrame(frame));
  }
}
