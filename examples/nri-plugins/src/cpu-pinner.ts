import { definePlugin, runPlugin } from '@gantry/nri';

/*
 * Pins containers to CPUs and NUMA nodes, as annotations of their pods say:
 *
 *   pin.example.com/cpus: "2-3"            every container of the pod
 *   pin.example.com/mems: "0"
 *   pin.example.com/cpus.database: "4-7"   one container
 */

const prefix = 'pin.example.com';
const listPattern = /^\d+(-\d+)?(,\d+(-\d+)?)*$/;

/** The list that holds for a container. Throws where it is none: the pod is refused with these words. */
function listOf(
  what: 'cpus' | 'mems',
  container: string,
  annotations: Readonly<Record<string, string>>,
): string | undefined {
  const key = [`${prefix}/${what}.${container}`, `${prefix}/${what}`].find((name) =>
    Object.hasOwn(annotations, name),
  );
  const list = key === undefined ? undefined : annotations[key];
  if (list !== undefined && !listPattern.test(list)) {
    throw new Error(`annotation ${key}: "${list}" is not a list such as 0-3,8`);
  }
  return list;
}

export const cpuPinner = definePlugin({
  name: 'cpu-pinner',
  index: 20,
  createContainer(pod, container) {
    const cpus = listOf('cpus', container.name, pod.annotations);
    const mems = listOf('mems', container.name, pod.annotations);
    if (cpus === undefined && mems === undefined) {
      return undefined;
    }
    return { limits: { ...(cpus && { cpus }), ...(mems && { mems }) } };
  },
});

if (import.meta.main) {
  await runPlugin(cpuPinner).done;
}
