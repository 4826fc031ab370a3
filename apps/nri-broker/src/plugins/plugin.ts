import type { DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { isKind, messageOf, RuntimeError } from '@gantry/errors';
import { eventName, fullNameOf, type PluginName } from '@gantry/nri';
import {
  type Container,
  Event,
  Plugin as PluginService,
  type PodSandbox,
  type ValidateContainerAdjustmentRequest,
  type ValidateContainerAdjustmentResponse,
} from '@gantry/proto/nri';
import { withSpan } from '@gantry/telemetry';
import { type CallOptions, callMethod, StatusError, type TtrpcClient } from '@gantry/ttrpc';
import { type CallResult, type PluginMetrics, PluginStats } from './plugin-stats.ts';

/** What is asked of a validator, without the names of types. */
export type ValidationRequest = Omit<ValidateContainerAdjustmentRequest, '$typeName' | '$unknown'>;

export type Origin = 'external' | 'launched' | 'builtin';

export interface PluginOptions {
  readonly name: PluginName;
  readonly origin: Origin;
  readonly client: TtrpcClient;
  /** Writes a request whose last byte is sent apart. */
  readonly writeLastApart: (
    frame: Buffer,
    sendLast: SendLastOn,
    done: (error?: Error | null) => void,
  ) => void;
  readonly requestTimeoutMs: number;
  readonly metrics: PluginMetrics;
}

/** Sends the last byte of a request on this socket, and notes that in the same moment; false where there is no room. */
export type SendLastOn = (socket: number, byte: number) => boolean;

/**
 * Of one message of a plugin: above what it takes to update all containers of a
 * node, and little enough to be read in a moment.
 */
export const maxMessageFields = 50_000;

/** Events that older plugins are told of by StateChange, which has no answer. */
const stateChanges: ReadonlySet<Event> = new Set([
  Event.RUN_POD_SANDBOX,
  Event.POST_UPDATE_POD_SANDBOX,
  Event.STOP_POD_SANDBOX,
  Event.REMOVE_POD_SANDBOX,
  Event.POST_CREATE_CONTAINER,
  Event.START_CONTAINER,
  Event.POST_START_CONTAINER,
  Event.POST_UPDATE_CONTAINER,
  Event.REMOVE_CONTAINER,
]);

/**
 * A plugin that has registered. A refusal in its own words is thrown; whatever
 * else goes wrong ends it, and it counts as one that has said nothing.
 */
export class Plugin {
  readonly name: PluginName;
  readonly fullName: string;
  readonly origin: Origin;
  readonly stats = new PluginStats();
  events: ReadonlySet<Event> = new Set();
  state: 'synchronizing' | 'ready' | 'gone' = 'synchronizing';
  readonly #options: PluginOptions;
  /** Methods that it does not have. */
  readonly #missing = new Set<string>();

  constructor(options: PluginOptions) {
    this.#options = options;
    this.name = options.name;
    this.fullName = fullNameOf(options.name);
    this.origin = options.origin;
    void options.client.closed.then((cause) => {
      this.#gone(messageOf(cause));
    });
  }

  /** Resolves when its connection is over. */
  get closed(): Promise<unknown> {
    return this.#options.client.closed;
  }

  wants(event: Event): boolean {
    return this.state === 'ready' && this.events.has(event);
  }

  /** Ends it; `reason` is shown to operators. */
  drop(reason: string): void {
    this.#gone(reason);
    this.#options.client.close(new RuntimeError('unavailable', reason));
  }

  /**
   * Tells it of an event. Undefined when it has nothing to say: it does not know
   * the method, or is gone now. Throws `failed-precondition` with its name and
   * words where it refuses. `sendLast` ties the event to a note of it.
   */
  async tell<M extends DescMethodUnary>(
    event: Event,
    method: M,
    request: MessageInitShape<M['input']> & { pod?: PodSandbox; container?: Container },
    sendLast?: SendLastOn,
  ): Promise<MessageShape<M['output']> | undefined> {
    if (!this.#missing.has(method.name)) {
      try {
        return await this.#measured(event, () => this.ask(method, request, { sendLast }));
      } catch (error) {
        if (!isKind(error, 'unimplemented')) {
          return this.#refusedOr(undefined, event, error);
        }
        this.#missing.add(method.name);
      }
    }
    if (stateChanges.has(event) && !this.#missing.has('StateChange')) {
      await this.#tellStateChange(event, request, sendLast);
    }
    return undefined;
  }

  /** Asks it whether an adjustment may be. Throws what went wrong; it is dropped then, unless it spoke for itself. */
  async validate(request: ValidationRequest): Promise<ValidateContainerAdjustmentResponse> {
    try {
      const method = PluginService.method.validateContainerAdjustment;
      return await this.#measured(Event.VALIDATE_CONTAINER_ADJUSTMENT, () =>
        this.ask(method, request),
      );
    } catch (error) {
      if (!isRefusal(error)) {
        this.drop(`ValidateContainerAdjustment: ${messageOf(error)}`);
      }
      throw error;
    }
  }

  /** One call, without any of the rules for events. Throws as `callMethod`. */
  ask<M extends DescMethodUnary>(
    method: M,
    request: MessageInitShape<M['input']>,
    {
      timeoutMs = this.#options.requestTimeoutMs,
      sendLast,
    }: { readonly timeoutMs?: number; readonly sendLast?: SendLastOn | undefined } = {},
  ): Promise<MessageShape<M['output']>> {
    const { client, writeLastApart } = this.#options;
    const write: CallOptions['write'] =
      sendLast &&
      ((frame, done) => {
        writeLastApart(frame, sendLast, done);
      });
    return callMethod(client, method, request, {
      ...(write && { write }),
      timeoutMs,
      maxFields: maxMessageFields,
    });
  }

  async #tellStateChange(
    event: Event,
    { pod, container }: { pod?: PodSandbox; container?: Container },
    sendLast?: SendLastOn,
  ): Promise<void> {
    const request = { event, ...(pod && { pod }), ...(container && { container }) };
    try {
      await this.#measured(event, () =>
        this.ask(PluginService.method.stateChange, request, { sendLast }),
      );
    } catch (error) {
      if (isKind(error, 'unimplemented')) {
        this.#missing.add('StateChange');
      } else {
        this.#refusedOr(undefined, event, error);
      }
    }
  }

  #refusedOr<T>(nothing: T, event: Event, error: unknown): T {
    if (isRefusal(error)) {
      const words = `plugin "${this.fullName}" refused ${eventName(event)}`;
      throw new RuntimeError('failed-precondition', words, { cause: error });
    }
    this.drop(`${eventName(event)}: ${messageOf(error)}`);
    return nothing;
  }

  async #measured<T>(event: Event, call: () => Promise<T>): Promise<T> {
    const name = eventName(event);
    const startedAt = performance.now();
    const note = (result: CallResult, error?: string): void => {
      const milliseconds = performance.now() - startedAt;
      this.stats.note(milliseconds, error);
      this.#options.metrics.call(this.fullName, name, result, milliseconds / 1000);
    };
    try {
      const answer = await withSpan(
        `nri ${this.fullName} ${name}`,
        { 'nri.plugin': this.fullName, 'nri.event': name },
        call,
      );
      note('ok');
      return answer;
    } catch (error) {
      if (isKind(error, 'unimplemented')) {
        note('ok');
      } else {
        note(isRefusal(error) ? 'refused' : 'dropped', messageOf(error));
      }
      throw error;
    }
  }

  #gone(reason: string): void {
    if (this.state !== 'gone') {
      this.state = 'gone';
      this.stats.noteError(reason);
    }
  }
}

/**
 * Whether a plugin has said no in words of its own. That its time was over it
 * may have noticed before us: that is no word of its own.
 */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof StatusError && error.kind !== 'deadline-exceeded' && error.kind !== 'canceled'
  );
}
