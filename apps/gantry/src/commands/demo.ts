import { formatTrace } from '@gantry/telemetry';
import { connect } from '../cri/connection.ts';
import { fetchPage, importBusybox, runDemoPod } from '../demo/demo-pod.ts';
import { slowestTrace } from '../demo/slowest-trace.ts';
import { type Invocation, ownCommand, requireRoot } from '../invocation.ts';
import { readLog } from '../logs/follow-log.ts';
import { Progress } from '../output/progress.ts';
import { describeCni } from '../stack/cni-config.ts';
import { ensurePackages, needsOf } from '../stack/packages.ts';
import { startStack } from '../stack/start-stack.ts';
import { announceStart } from '../supervisor/starts.ts';

/**
 * `gantry demo`: from nothing to a pod that answers HTTP, with what happened inside. Its pod is removed,
 * also when a step fails; the stack stays up.
 */
export async function demo(invocation: Invocation): Promise<void> {
  requireRoot('demo');
  const config = invocation.config();
  const { signal, configFile } = invocation;
  const progress = new Progress(
    'demo',
    invocation.out,
    `Look at: ./gantry doctor, and the logs in ${config.state_dir}/log`,
  );
  const note = (text: string): void => progress.show(text);

  await using start = new AsyncDisposableStack();
  start.use(await announceStart(config));
  await progress.step('looking for the Debian packages that pods need', async () => {
    await ensurePackages(config, { install: true, note, signal });
    const tools = needsOf(config).map(({ tool }) => tool);
    note(`${tools.join(', ')}: all there`);
  });
  await progress.step('looking for a network configuration', async () => {
    const file = await describeCni(config, { write: true, note });
    note(`pods use ${file}`);
  });
  await progress.step('starting NATS and the services', async () => {
    const compact = config.services.compact;
    const { wasUp } = await startStack({ config, configFile, compact, note, signal, spawn: true });
    note(wasUp ? 'they run already' : `they serve CRI on ${config.grpc.socket}`);
  });
  await start.disposeAsync();

  using cri = connect(invocation);
  await progress.step("making an image of Debian's busybox, and importing it", () =>
    importBusybox(cri, config, signal),
  );
  {
    const begunMs = Date.now();
    await using pod = await progress.step('running a pod with a web server', () =>
      runDemoPod(cri, config, signal),
    );
    note(`pod ${pod.podId.slice(0, 13)} has the address ${pod.ip}`);
    await progress.step('asking it over HTTP', async () => note(await fetchPage(pod.ip, signal)));
    await progress.step('running a command in its container', async () => {
      const script = 'hostname; id; ip addr show eth0';
      note(`$ ${script}`);
      const cmd = ['sh', '-c', script];
      const { containerId } = pod;
      const result = await cri.runtime.execSync({ containerId, cmd, timeout: 10n }, { signal });
      note(new TextDecoder().decode(result.stdout));
    });
    await progress.step('reading its log', async () => {
      for await (const entry of readLog(pod.logFile)) {
        note(entry.content.toString());
      }
    });
    await progress.step('looking for the slowest of these requests', async () => {
      const trace = await slowestTrace(config, begunMs, ['RunPodSandbox', 'ExecSync']);
      note(trace === undefined ? 'tracing is off' : formatTrace(trace, { width: 116 }));
    });
    await progress.step('removing the pod', async () => {
      await pod[Symbol.asyncDispose]();
    });
  }
  invocation.out(farewell(config.grpc.socket, configFile));
}

function farewell(socket: string, configFile: string | undefined): string {
  const gantry = ownCommand(configFile);
  return [
    '',
    `That was a pod. Gantry stays up, on ${socket}. From here:`,
    `  ${gantry} images | pods | ps         what there is`,
    `  ${gantry} runp | create | start      your own pods, from the files that crictl takes`,
    `  ${gantry} trace --slowest            where the time went`,
    `  ${gantry} doctor                     is this host ready for a kubelet?`,
    `  kubelet --container-runtime-endpoint=unix://${socket}`,
    `  ${gantry} down                       stop the services; pods keep running`,
    '',
  ].join('\n');
}
