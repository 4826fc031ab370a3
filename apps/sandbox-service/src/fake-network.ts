import { RuntimeError } from '@gantry/errors';
import type { Network } from './ports.ts';

/** What of a faked host a network has to do with. */
interface Host {
  readonly networkReady: boolean;
  readonly netns: ReadonlySet<string>;
  /** Sandbox id -> address. */
  readonly addresses: Map<string, string>;
  /** What each DEL was told. */
  readonly detached: unknown[];
}

/** A network that hands out one address. */
export function fakeNetwork(host: Host): Network {
  return {
    plan: () => {
      if (!host.networkReady) {
        throw new RuntimeError('failed-precondition', 'no network configuration');
      }
      return Promise.resolve({ name: 'fake' });
    },
    attach: (pod) => {
      if (!host.netns.has(pod.netnsPath)) {
        throw new RuntimeError('internal', `${pod.netnsPath}: no such namespace`);
      }
      host.addresses.set(pod.sandboxId, '10.0.0.7');
      return Promise.resolve({ ips: ['10.0.0.7', 'fd00::7'], result: { ok: 1 }, config: {} });
    },
    detach: (pod, { config }) => {
      host.detached.push(config);
      host.addresses.delete(pod.sandboxId);
      return Promise.resolve();
    },
    status: () => ({ ready: host.networkReady, reason: '', message: '' }),
    describe: () => ({ name: 'fake' }),
    setPodCidr: () => Promise.resolve(),
    collect: (isKnown) => {
      const stale = [...host.addresses.keys()].filter((id) => !isKnown(id));
      for (const id of stale) {
        host.addresses.delete(id);
      }
      return Promise.resolve(stale);
    },
  };
}
