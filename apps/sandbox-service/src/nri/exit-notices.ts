import { setTimeout as sleep } from 'node:timers/promises';
import { isKind, messageOf } from '@gantry/errors';
import { Event } from '@gantry/proto/nri';
import type { Logger } from '@gantry/telemetry';
import { shortId } from '../ids.ts';
import type { Paths } from '../paths.ts';
import type { Container } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';
import type { Wanted } from './pending-updates.ts';
import type { PluginBroker } from './plugin-broker.ts';
import { subjectMessage } from './plugin-messages.ts';
import type { WantedUpdates } from './wanted-updates.ts';

export interface ExitNoticesDeps {
  readonly broker: Pick<PluginBroker, 'notify'>;
  readonly records: Records;
  readonly paths: Paths;
  readonly wanted: WantedUpdates;
  readonly log: Pick<Logger, 'warn'>;
  /** Gives up telling what could not be told. */
  readonly signal: AbortSignal;
}

const firstRetryMs = 500;
const longestRetryMs = 30_000;

/** Tells plugins of containers that have exited: each once, in the background, until a broker is there. */
export class ExitNotices {
  readonly #deps: ExitNoticesDeps;
  readonly #telling = new Map<string, Promise<void>>();

  constructor(deps: ExitNoticesDeps) {
    this.#deps = deps;
  }

  exited(id: string, pauseMs = firstRetryMs): void {
    const container = this.#deps.records.containers.find(id);
    const isNews = container?.phase === 'exited' && container.facts.plugins === 'told';
    if (!isNews || this.#telling.has(id)) {
      return;
    }
    const telling = this.#tell(container)
      .catch((error: unknown) => {
        const words = messageOf(error);
        this.#deps.log.warn({ container: id, error: words }, 'tell plugins of an exit');
        if (isKind(error, 'unavailable')) {
          this.#later(id, pauseMs).catch((cause: unknown) => {
            this.#deps.log.warn({ container: id, error: messageOf(cause) }, 'try again later');
          });
        }
      })
      .finally(() => {
        this.#telling.delete(id);
      });
    this.#telling.set(id, telling);
  }

  /** Resolves when what `exited` has begun is over. */
  async settled(id: string): Promise<void> {
    await this.#telling.get(id);
  }

  /** Tells of those that nobody was told of. */
  catchUp(): void {
    for (const { id, phase } of this.#deps.records.containers.list()) {
      if (phase === 'exited') {
        this.exited(id);
      }
    }
  }

  /** Who waits for it need not wait for a broker that is away. */
  async #later(id: string, pauseMs: number): Promise<void> {
    const { signal } = this.#deps;
    await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
    if (!signal.aborted) {
      this.exited(id, Math.min(pauseMs * 2, longestRetryMs));
    }
  }

  async #tell(container: Container): Promise<void> {
    const { broker, records, wanted } = this.#deps;
    const subject = await subjectMessage(this.#deps, container);
    const request = { event: Event.STOP_CONTAINER, ...subject };
    const { update, owners } = await broker.notify(request, { patient: false });
    await wanted.keep('stop', container.id, { update, owners, evict: [] });
    // Maybe without the lock of the pod: the record may have changed.
    records.commit(() => {
      if (records.containers.find(container.id) !== undefined) {
        records.containers.update(container.id, { facts: { plugins: 'stopped' } });
      }
    });
    this.#applyLater(container.id);
  }

  /** What plugins have answered to a stop. */
  async wanted(id: string, wanted: Wanted): Promise<void> {
    await this.#deps.wanted.keep('stop', id, wanted);
    this.#applyLater(id);
  }

  /** The lock of the pod may be held by whoever waits for this. */
  #applyLater(id: string): void {
    this.#deps.wanted.apply('stop', id, `stop container ${shortId(id)}`).catch((error: unknown) => {
      this.#deps.log.warn({ container: id, error: messageOf(error) }, 'plugins wanted more');
    });
  }
}
