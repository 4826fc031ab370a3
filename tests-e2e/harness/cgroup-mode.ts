import { mountInfo, run } from '@gantry/host';

const unified = '/sys/fs/cgroup/unified';

/** Whether this is a host with cgroup v1 controllers and a v2 hierarchy beside them. */
export async function isCgroupHybrid(): Promise<boolean> {
  return (await mountInfo()).some((m) => m.mountPoint === unified && m.fsType === 'cgroup2');
}

/**
 * Hides the v2 hierarchy of a hybrid host, in the mount namespace of this run
 * only: crun 1.8 refuses hybrid hosts, and runs once it is hidden. Disposing
 * of it brings the hierarchy back.
 */
export async function leaveHybrid(): Promise<AsyncDisposable> {
  const hybrid = await isCgroupHybrid();
  if (hybrid) {
    await must('umount', unified);
  }
  return {
    [Symbol.asyncDispose]: async () => {
      if (hybrid) {
        await must('mount', '-t', 'cgroup2', 'cgroup2', unified);
      }
    },
  };
}

async function must(command: string, ...args: string[]): Promise<void> {
  const { exitCode, stderr } = await run(command, args);
  if (exitCode !== 0) {
    throw new Error(`${command} ${args.join(' ')}: ${stderr.toString()}`);
  }
}
