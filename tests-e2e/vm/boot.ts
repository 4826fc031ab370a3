import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import type { Disk } from './build-disk.ts';

export interface Boot {
  readonly disk: Disk;
  /** Further arguments of the kernel. */
  readonly kernelArgs: readonly string[];
  /** Gets each line of the console. */
  readonly onLine: (line: string) => void;
  readonly limitMs: number;
}

/** The kernel of the machine hangs on a processor: under emulation both may wait for each other for good. */
export class LockedUp extends Error {
  override readonly name = 'LockedUp';
}

/** It comes again every half minute; a host that was held up may recover from the first ones. */
const lockup = /BUG: soft lockup - CPU#\d+ stuck for \d{3,}s/;

/**
 * Boots the disk under software emulation, with no network beyond itself, until
 * it has powered off; the disk stays as it was. Rejects when it takes longer than `limitMs`,
 * and with `LockedUp`.
 */
export async function boot({ disk, kernelArgs, onLine, limitMs }: Boot): Promise<void> {
  const machine = spawn(
    'qemu-system-x86_64',
    [
      ...['-accel', 'tcg,thread=multi,tb-size=512', '-cpu', 'max', '-smp', '2', '-m', '3072'],
      ...['-nographic', '-no-reboot', '-nodefaults', '-serial', 'stdio', '-nic', 'none'],
      ...['-kernel', disk.kernel, '-initrd', disk.initrd],
      '-append',
      [
        'root=/dev/vda rw console=ttyS0 quiet systemd.unified_cgroup_hierarchy=1 mitigations=off nokaslr',
        ...kernelArgs,
      ].join(' '),
      // What is written goes with the machine: one without SELinux leaves files without labels to the next.
      ...['-drive', `file=${disk.image},if=virtio,format=raw,cache=unsafe,snapshot=on`],
      ...['-device', 'virtio-rng-pci'],
    ],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      // qemu keeps what is written in a file there, without a name.
      env: { ...process.env, TMPDIR: dirname(disk.image) },
    },
  );
  const stop = () => machine.kill('SIGKILL');
  const late = AbortSignal.timeout(limitMs);
  late.addEventListener('abort', stop);
  process.once('SIGTERM', stop).once('SIGINT', stop);
  let lastWords: string | undefined;
  try {
    const exited = once(machine, 'exit');
    for await (const line of createInterface({ input: machine.stdout })) {
      onLine(line);
      if (lockup.test(line)) {
        lastWords = line;
        stop();
      }
    }
    const [code] = (await exited) as [number | null];
    if (lastWords !== undefined) {
      throw new LockedUp(`the kernel of the machine hangs: ${lastWords}`);
    }
    if (late.aborted) {
      throw new Error(`the machine has not powered off after ${limitMs / 1000} s`);
    }
    if (code !== 0) {
      throw new Error(`qemu-system-x86_64 ended with ${code}`);
    }
  } finally {
    late.removeEventListener('abort', stop);
    process.off('SIGTERM', stop).off('SIGINT', stop);
  }
}
