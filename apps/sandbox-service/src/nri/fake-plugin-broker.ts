import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import {
  type ContainerAdjustmentSchema,
  type ContainerUpdateSchema,
  Event,
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
  adjust: MessageInitShape<typeof ContainerAdjustmentSchema> | undefined;
  update: MessageInitShape<typeof ContainerUpdateSchema>[] = [];
  /** These are refused. */
  readonly refused = new Set<string>();
  isAway = false;

  notify: PluginBroker['notify'] = ({ event = Event.UNKNOWN, container }) =>
    this.#answer(eventNames.get(event) ?? '', container?.name, () => {
      const update = eventNames.get(event) === 'STOP_CONTAINER' ? this.update : [];
      return create(NotifyResponseSchema, { update }).update;
    });

  adjustContainer: PluginBroker['adjustContainer'] = ({ container }) =>
    this.#answer('CREATE_CONTAINER', container?.name, () =>
      create(AdjustContainerResponseSchema, {
        ...(this.adjust && { adjust: this.adjust }),
        update: this.update,
      }),
    );

  adjustUpdate: PluginBroker['adjustUpdate'] = ({ container }) =>
    this.#answer('UPDATE_CONTAINER', container?.name, () => create(AdjustUpdateResponseSchema, {}));

  async #answer<T>(event: string, name: string | undefined, answer: () => T): Promise<T> {
    await Promise.resolve();
    if (this.isAway) {
      throw new RuntimeError('unavailable', 'nri: no instance runs');
    }
    this.told.push(name === undefined ? event : `${event} ${name}`);
    if (this.refused.has(event)) {
      throw new RuntimeError('failed-precondition', `plugin "10-no" refused ${event}`);
    }
    return answer();
  }
}

const eventNames = new Map<Event, string>(
  Object.entries(Event).map(([name, event]) => [event, name]),
);
