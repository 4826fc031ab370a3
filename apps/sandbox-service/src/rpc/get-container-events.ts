import type { EventFeed } from '../events/event-feed.ts';
import type { RuntimeMethod } from './handlers.ts';

/** Every state change of pods and containers from now on, of all instances, until the caller leaves. */
export function getContainerEvents(feed: EventFeed): RuntimeMethod<'getContainerEvents'> {
  return (_, { signal }) => feed.subscribe(signal);
}
