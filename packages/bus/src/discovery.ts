import { messageOf } from '@gantry/errors';
import type { Link, LinkSubscription } from './link.ts';
import type { ServiceName } from './subjects.ts';

/** What one method has done since its start; the numbers behind `$SRV.STATS`. */
export class EndpointStats {
  readonly name: string;
  readonly subject: string;
  #requests = 0;
  #errors = 0;
  #lastError = '';
  #busyMs = 0;

  constructor(name: string, subject: string) {
    this.name = name;
    this.subject = subject;
  }

  /** A call ended after `ms`; with `error` unless it went well. */
  count(ms: number, error: unknown): void {
    this.#requests += 1;
    this.#busyMs += ms;
    if (error !== undefined) {
      this.#errors += 1;
      this.#lastError = messageOf(error);
    }
  }

  /** As ADR-32 of NATS has it; times in nanoseconds. */
  toJson(queueGroup: string): Record<string, unknown> {
    const busyNanos = Math.round(this.#busyMs * 1e6);
    return {
      name: this.name,
      subject: this.subject,
      queue_group: queueGroup,
      num_requests: this.#requests,
      num_errors: this.#errors,
      last_error: this.#lastError,
      processing_time: busyNanos,
      average_processing_time: Math.round(busyNanos / Math.max(this.#requests, 1)),
    };
  }
}

export interface DiscoveryOptions {
  readonly link: Link;
  readonly node: string;
  readonly service: ServiceName;
  readonly instance: string;
  readonly version: string;
}

/** The name under which `$SRV` lists a service. */
export function discoveryName(service: ServiceName): string {
  return `gantry-${service}`;
}

/**
 * Answers `$SRV.PING`, `INFO` and `STATS` for this instance as the NATS
 * services framework would (ADR-32). Ours, since the framework subscribes to
 * each endpoint by itself and counts only the synchronous part of a handler.
 */
export function answerDiscovery(
  options: DiscoveryOptions,
  endpoints: () => readonly EndpointStats[],
): LinkSubscription[] {
  const { link, node, service, instance, version } = options;
  const name = discoveryName(service);
  const identity = { name, id: instance, version, metadata: { node } };
  const started = new Date().toISOString();
  const answers: Record<string, () => object> = {
    PING: () => ({ type: 'io.nats.micro.v1.ping_response', ...identity }),
    INFO: () => ({
      type: 'io.nats.micro.v1.info_response',
      ...identity,
      description: `Gantry's ${service} service on ${node}`,
      endpoints: endpoints().map((e) => ({
        name: e.name,
        subject: e.subject,
        queue_group: service,
      })),
    }),
    STATS: () => ({
      type: 'io.nats.micro.v1.stats_response',
      ...identity,
      started,
      endpoints: endpoints().map((e) => e.toJson(service)),
    }),
  };
  return Object.entries(answers).flatMap(([verb, answer]) =>
    [`$SRV.${verb}`, `$SRV.${verb}.${name}`, `$SRV.${verb}.${name}.${instance}`].map((subject) =>
      link.subscribe(subject, (msg) => {
        if (msg.reply) {
          link.publish(msg.reply, Buffer.from(JSON.stringify(answer())));
        }
      }),
    ),
  );
}
