import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import {
  type ContainerAdjustmentSchema,
  type ContainerUpdateSchema,
  Event,
  type PodSandbox,
  PodSandboxSchema,
} from '@gantry/proto/nri';
import {
  AdjustContainerResponseSchema,
  AdjustUpdateResponseSchema,
  NotifyResponseSchema,
} from '@gantry/proto/nri-broker';
import type { PluginBroker } from './plugin-broker.ts';

/** A broker whose plugins do what a test says; keeps what it was told, by the name of the event. */
export class FakePluginBroker implements PluginBroker {
  readonly told: string[] = [];
  /** The same for what it could not be told. */
  readonly missed: string[] = [];
  /** As events have shown them. */
  readonly pods: PodSandbox[] = [];
  adjust: MessageInitShape<typeof ContainerAdjustmentSchema> | undefined;
  update: MessageInitShape<typeof ContainerUpdateSchema>[] = [];
  /** These are refused. */
  readonly refused = new Set<string>();
  isAway = false;

  notify: PluginBroker['notify'] = ({ event = Event.UNKNOWN, pod, container }) =>
    this.#answer(eventNames.get(event) ?? '', container?.name, () => {
      this.pods.push(create(PodSandboxSchema, pod));
      const update = eventNames.get(event) === 'STOP_CONTAINER' ? this.update : [];
      return create(NotifyResponseSchema, { update, owners: ownersOf(update) });
    });

  adjustContainer: PluginBroker['adjustContainer'] = ({ container }) =>
    this.#answer('CREATE_CONTAINER', container?.name, () =>
      create(AdjustContainerResponseSchema, {
        ...(this.adjust && { adjust: this.adjust }),
        update: this.update,
        owners: [
          ...(this.adjust && container?.id ? [cpuSharesOf(container.id)] : []),
          ...ownersOf(this.update),
        ],
      }),
    );

  adjustUpdate: PluginBroker['adjustUpdate'] = ({ container }) =>
    this.#answer('UPDATE_CONTAINER', container?.name, () =>
      create(AdjustUpdateResponseSchema, { update: this.update, owners: ownersOf(this.update) }),
    );

  async #answer<T>(event: string, name: string | undefined, answer: () => T): Promise<T> {
    await Promise.resolve();
    const what = name === undefined ? event : `${event} ${name}`;
    if (this.isAway) {
      this.missed.push(what);
      throw new RuntimeError('unavailable', 'nri: no instance runs');
    }
    this.told.push(what);
    if (this.refused.has(event)) {
      throw new RuntimeError('failed-precondition', `plugin "10-no" refused ${event}`);
    }
    return answer();
  }
}

/** As if all that a test wants were a matter of shares. */
function cpuSharesOf(containerId: string) {
  const owner = { field: 'CPUShares', key: '', plugin: '10-no', action: 'set' };
  return { containerId, owners: [owner] };
}

function ownersOf(updates: readonly MessageInitShape<typeof ContainerUpdateSchema>[]) {
  return updates.map(({ containerId = '' }) => cpuSharesOf(containerId));
}

const eventNames = new Map<Event, string>(
  Object.entries(Event).map(([name, event]) => [event, name]),
);
