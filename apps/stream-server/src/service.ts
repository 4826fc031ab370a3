import { busHandlers } from '@gantry/bus';
import { RuntimeService } from '@gantry/proto';
import type { ServiceDefinition } from '@gantry/service-kit';
import { busTargets } from './adapters/bus-targets.ts';
import { ExecDirectory } from './adapters/exec-directory.ts';
import { OciRuntime } from './adapters/oci-runtime.ts';
import { execSync } from './rpc/exec-sync.ts';

/** Runs commands in containers for ExecSync. The streaming methods are not offered yet. */
export const service: ServiceDefinition = {
  name: 'stream',
  async start({ bus, config, instance, log }) {
    await using undo = new AsyncDisposableStack();
    const directory = undo.use(await ExecDirectory.open(config.state_dir, instance, log));
    const runtime = undo.use(new OciRuntime(directory));
    const running = undo.move();
    return {
      handlers: busHandlers(RuntimeService, {
        execSync: execSync({
          targets: busTargets(bus),
          runtime,
          drainTimeoutMs: config.streaming.drain_exec_sync_io_timeout_ms,
        }),
      }),
      [Symbol.asyncDispose]: () => running.disposeAsync(),
    };
  },
};
