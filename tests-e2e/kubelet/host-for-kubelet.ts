import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { bindMount } from '@gantry/host';
import type { Stack } from '../harness/stack.ts';

/** Settings of the kernel that a kubelet makes, whatever namespaces it is in. */
const settings = [
  'vm/overcommit_memory',
  'vm/panic_on_oom',
  'kernel/panic',
  'kernel/panic_on_oops',
];

/**
 * Makes the cgroup that the kubelet wants to find, and puts directories of the run where it writes
 * without being asked: in this run's mount namespace, with which they go. Gives back the kernel's
 * settings at the end.
 */
export async function prepareHost(stack: Stack): Promise<Disposable> {
  for (const path of ['/var/lib', '/var/log']) {
    const source = join(stack.dir, 'host', path);
    await mkdir(source, { recursive: true });
    await bindMount({ source, target: path });
  }
  for (const procs of globSync(['/sys/fs/cgroup/cgroup.procs', '/sys/fs/cgroup/*/cgroup.procs'])) {
    mkdirSync(join(dirname(procs), stack.cgroupParent, 'kubelet'), { recursive: true });
  }
  const before = settings.map((name) => {
    const file = join('/proc/sys', name);
    return { file, value: readFileSync(file, 'utf8') };
  });
  return {
    [Symbol.dispose]: () => {
      for (const { file, value } of before) {
        writeFileSync(file, value);
      }
    },
  };
}
