import { create } from '@bufbuild/protobuf';
import type { CallContext, ServiceImpl } from '@gantry/bus';
import { RuntimeError } from '@gantry/errors';
import { LinuxResourcesSchema } from '@gantry/proto/nri';
import type { Plugins } from '@gantry/proto/nri-broker';
import type { Dispatcher } from '../events/dispatcher.ts';

/** What sandbox-service asks before, while and after it changes pods and containers. */
export function pluginsService(dispatcher: Dispatcher): ServiceImpl<typeof Plugins> {
  return {
    notify: async ({ event, pod, container, overhead, resources }, { signal }: CallContext) => {
      const subject = {
        pod: required(pod, 'pod'),
        ...(container && { container }),
        ...(overhead && { overhead }),
        ...(resources && { resources }),
      };
      return dispatcher.notify(event, subject, signal);
    },
    adjustContainer: async ({ pod, container }, { signal }: CallContext) => {
      return dispatcher.adjustContainer(
        required(pod, 'pod'),
        required(container, 'container'),
        signal,
      );
    },
    adjustUpdate: async ({ pod, container, resources }, { signal }: CallContext) => {
      return dispatcher.adjustUpdate(
        required(pod, 'pod'),
        required(container, 'container'),
        resources ?? create(LinuxResourcesSchema),
        signal,
      );
    },
  };
}

function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) {
    throw new RuntimeError('invalid-argument', `nri: ${what} must be set`);
  }
  return value;
}
