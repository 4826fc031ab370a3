import { pauseImageName } from '@gantry/debian-image';
import { flag, type Invocation, ownCommand, requireRoot } from '../invocation.ts';
import { describeCni } from '../stack/cni-config.ts';
import { ensurePackages } from '../stack/packages.ts';
import { startStack } from '../stack/start-stack.ts';
import { announceStart } from '../supervisor/starts.ts';
import { superviseHere } from './supervise.ts';

/** `gantry up`: starts the stack and returns once it answers; with --foreground it stays. */
export async function up(invocation: Invocation): Promise<void> {
  requireRoot('up');
  const config = invocation.config();
  await using start = await announceStart(config);
  await ensurePackages(config, {
    install: flag(invocation, 'install'),
    note: invocation.note,
    signal: invocation.signal,
  });
  await describeCni(config, { write: flag(invocation, 'cni'), note: invocation.note });
  const options = {
    config,
    configFile: invocation.configFile,
    compact: flag(invocation, 'compact') || config.services.compact,
    note: invocation.note,
    signal: invocation.signal,
  };
  if (flag(invocation, 'foreground')) {
    await stay(invocation, async (signal) => {
      await startStack({ ...options, signal, spawn: false });
      await start[Symbol.asyncDispose]();
    });
    return;
  }
  const { wasUp } = await startStack({ ...options, spawn: true });
  const socket = config.grpc.socket;
  const gantry = ownCommand(invocation.configFile);
  invocation.out(
    wasUp
      ? `Gantry is up already, on ${socket}\n`
      : [
          `Gantry is up, on ${socket}`,
          `  look:     ${gantry} ps (or pods, images, doctor)`,
          `  kubelet:  --container-runtime-endpoint=unix://${socket}`,
          `  logs:     ${config.state_dir}/log`,
          `  stop:     ${gantry} down (pods keep running)`,
          '',
        ].join('\n'),
  );
  if (config.pods.sandbox_image !== pauseImageName) {
    invocation.note(`pods use the sandbox image ${config.pods.sandbox_image}`);
  }
}

/** Supervises here; a stack that does not come up is stopped again, and the error told. */
async function stay(
  invocation: Invocation,
  start: (signal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  const giveUp = new AbortController();
  const signal = AbortSignal.any([invocation.signal, giveUp.signal]);
  const supervisor = superviseHere({ ...invocation, signal });
  const started = start(signal).then(() => {
    invocation.out('Gantry is up\n');
  });
  try {
    await Promise.race([supervisor, started]);
  } catch (error) {
    if (!invocation.signal.aborted) {
      giveUp.abort();
      await supervisor;
      throw error;
    }
  }
  await supervisor;
}
