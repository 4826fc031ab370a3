import { appendFileSync } from 'node:fs';
import { type DefinedPlugin, definePlugin, runPlugin } from '@gantry/nri';

/*
 * Writes a line of JSON for each thing that happens to pods and containers, to
 * the file that its config names (a path alone), or its first argument.
 */

interface Named {
  readonly id: string;
  readonly name: string;
}

/** `write` gets one line at a time. */
export function auditor(write: (line: string) => void): DefinedPlugin {
  let put = write;
  const note = (event: string, pod: Named & { readonly namespace: string }, container?: Named) => {
    const { id, name, namespace } = pod;
    put(
      `${JSON.stringify({
        time: new Date().toISOString(),
        event,
        pod: { id, namespace, name },
        ...(container && { container: { id: container.id, name: container.name } }),
      })}\n`,
    );
  };
  return definePlugin({
    name: 'auditor',
    index: 99,
    configure(config) {
      const path = config.trim();
      if (path !== '') {
        put = (line) => {
          appendFileSync(path, line);
        };
      }
    },
    synchronize(pods, containers) {
      for (const pod of pods) {
        note('pod-found', pod);
        for (const container of containers.filter((c) => c.podSandboxId === pod.id)) {
          note('container-found', pod, container);
        }
      }
    },
    runPodSandbox: (pod) => {
      note('pod-run', pod);
    },
    stopPodSandbox: (pod) => {
      note('pod-stopped', pod);
    },
    removePodSandbox: (pod) => {
      note('pod-removed', pod);
    },
    postCreateContainer: (pod, container) => {
      note('container-created', pod, container);
    },
    postStartContainer: (pod, container) => {
      note('container-started', pod, container);
    },
    postUpdateContainer: (pod, container) => {
      note('container-updated', pod, container);
    },
    stopContainer: (pod, container) => {
      note('container-stopped', pod, container);
    },
    removeContainer: (pod, container) => {
      note('container-removed', pod, container);
    },
  });
}

if (import.meta.main) {
  const [, , path] = process.argv;
  const plugin = auditor((line) => {
    if (path === undefined) {
      process.stdout.write(line);
    } else {
      appendFileSync(path, line);
    }
  });
  await runPlugin(plugin).done;
}
