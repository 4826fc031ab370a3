import type { Bus, RawHandlers, ServiceName } from '@gantry/bus';
import type { Config } from '@gantry/config';
import type { Logger, Registry } from '@gantry/telemetry';

/** What every service gets when it starts. All of it belongs to the kit; a service disposes of none. */
export interface ServiceContext {
  readonly config: Config;
  readonly bus: Bus;
  readonly log: Logger;
  /** Series put here appear on the gateway's /metrics page, labelled with service and instance. */
  readonly metrics: Registry;
  /** Tells this instance from others of the same service; new at each start. */
  readonly instance: string;
  /** Aborts when the service is told to stop, before its requests are drained. */
  readonly signal: AbortSignal;
}

/** A service that has started. Disposed of after its requests have drained. */
export interface StartedService extends AsyncDisposable {
  /** The methods it answers on the bus; requests come in once `start` has returned. */
  readonly handlers: RawHandlers;
  /** Says what is wrong, in one sentence, or undefined when nothing is. Asked often: cheap. */
  health?(): Promise<string | undefined>;
}

export interface ServiceDefinition {
  readonly name: ServiceName;
  /** Reconciles with the host and starts. A rejection stops the process. */
  start(context: ServiceContext): Promise<StartedService>;
}
