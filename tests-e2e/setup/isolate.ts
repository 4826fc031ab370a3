import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { execPath } from 'node:process';

/**
 * Runs Node 24 with `args` in network, mount and pid namespaces of its own, so
 * that bridges, iptables rules, mounts and processes end with it, also when it
 * is killed. Resolves with the exit code (128 + n for signal n).
 */
export async function runIsolated(
  args: readonly string[],
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Promise<number> {
  const child = spawn(
    'unshare',
    [
      '--net',
      '--mount',
      '--pid',
      '--fork',
      '--kill-child',
      '--mount-proc',
      '--propagation',
      'private',
      // Reaps what is orphaned, as the init of a host does.
      'catatonit',
      '--',
      'sh',
      '-c',
      // Shared, as systemd leaves it: propagation is part of what is tested.
      'mount --make-rshared / && ip link set lo up && exec "$@"',
      'sh',
      execPath,
      '--disable-warning=ExperimentalWarning',
      ...args,
    ],
    { ...options, stdio: 'inherit' },
  );
  // unshare heeds no other signal while it waits; the namespaces end with it (--kill-child).
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => child.kill('SIGKILL'));
  }
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}
