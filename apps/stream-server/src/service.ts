import { busHandlers } from '@gantry/bus';
import { RuntimeService } from '@gantry/proto';
import type { ServiceDefinition } from '@gantry/service-kit';
import { busTargets } from './adapters/bus-targets.ts';
import { ConmonAttacher } from './adapters/conmon-attacher.ts';
import { ExecDirectory } from './adapters/exec-directory.ts';
import { OciRuntime } from './adapters/oci-runtime.ts';
import { PodDialer } from './adapters/pod-dialer.ts';
import { startStreamHttp } from './http/stream-http.ts';
import { attach } from './rpc/attach.ts';
import { exec } from './rpc/exec.ts';
import { execSync } from './rpc/exec-sync.ts';
import { portForward } from './rpc/port-forward.ts';
import { creationTimeoutMs } from './rpc/timeouts.ts';

/** Runs commands in containers, and carries the streams of exec, attach and port-forward. */
export const service: ServiceDefinition = {
  name: 'stream',
  async start({ bus, config, instance, log, signal: stopping }) {
    const { streaming } = config;
    await using undo = new AsyncDisposableStack();
    const directory = undo.use(await ExecDirectory.open(config.state_dir, instance, log));
    const dialer = undo.use(new PodDialer());
    const attacher = undo.use(new ConmonAttacher());
    const http = undo.use(
      await startStreamHttp({
        host: streaming.host,
        port: streaming.port,
        ports: config.services.replicas['stream-server'],
        certFile: streaming.tls_cert_file,
        keyFile: streaming.tls_key_file,
        log,
      }),
    );
    // Ends before the server that waits for it.
    const runtime = undo.use(new OciRuntime(directory));
    const targets = busTargets(bus);
    const timeouts = { idleTimeoutMs: streaming.idle_timeout_ms, creationTimeoutMs };
    const drainTimeoutMs = streaming.drain_exec_sync_io_timeout_ms;
    const execs = { targets, runtime, drainTimeoutMs, stopping };
    const running = undo.move();
    return {
      handlers: busHandlers(RuntimeService, {
        execSync: execSync(execs),
        exec: exec({ ...execs, http, timeouts }),
        attach: attach({ targets, attacher, http, timeouts, stopping }),
        portForward: portForward({ targets, dialer, http, timeouts, stopping }),
      }),
      [Symbol.asyncDispose]: () => running.disposeAsync(),
    };
  },
};
