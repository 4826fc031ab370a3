import { RuntimeError } from '@gantry/errors';
import { Event } from '@gantry/proto/nri';

const subscribable = Object.entries(Event).filter(
  ([, event]) => event !== Event.UNKNOWN && event !== Event.LAST,
);

/** Every event that a plugin can subscribe to. */
export const allEvents: readonly Event[] = subscribable.map(([, event]) => event);

const names = new Map<Event, string>(
  subscribable.map(([name, event]) => [
    event,
    name.toLowerCase().replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase()),
  ]),
);

const allBits = maskOf(allEvents);

/** The mask of ConfigureResponse: event n is bit n-1. */
export function maskOf(events: Iterable<Event>): number {
  let mask = 0;
  for (const event of events) {
    mask |= 1 << (event - 1);
  }
  return mask;
}

/** What a plugin subscribes to; 0 is everything. Throws `invalid-argument` for bits of no event. */
export function eventsOf(mask: number): ReadonlySet<Event> {
  if ((mask & ~allBits) !== 0) {
    const bits = (mask & ~allBits) >>> 0;
    throw new RuntimeError('invalid-argument', `events 0x${bits.toString(16)}: no such events`);
  }
  const wanted = mask === 0 ? allBits : mask;
  return new Set(allEvents.filter((event) => (wanted & (1 << (event - 1))) !== 0));
}

/** Such as RunPodSandbox, which is also the name of the method. */
export function eventName(event: Event): string {
  return names.get(event) ?? `event ${event}`;
}
