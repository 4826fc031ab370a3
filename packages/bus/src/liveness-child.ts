import { once } from 'node:events';
import { type BusOptions, connectBus } from './bus.ts';

// A process for liveness.test.ts to kill. argv: role, BusOptions as JSON.
const method = 'runtime.v1.RuntimeService/StopPodSandbox';
const [role = '', options = ''] = process.argv.slice(2);
const bus = await connectBus(JSON.parse(options) as BusOptions);

if (role === 'serve') {
  await bus.serve(
    new Map([
      [
        method,
        {
          kind: 'unary',
          handle: async (body, { signal }) => {
            process.stdout.write('begun\n');
            await once(signal, 'abort');
            process.stdout.write('aborted\n');
            return body;
          },
        },
      ],
      [
        'runtime.v1.RuntimeService/GetContainerEvents',
        {
          kind: 'stream',
          handle: async function* (body, { signal }) {
            yield body;
            process.stdout.write('begun\n');
            await once(signal, 'abort');
          },
        },
      ],
    ]),
  );
  process.stdout.write('ready\n');
} else {
  process.stdout.write('ready\n');
  await bus.request('sandbox', method, new Uint8Array(role === 'ask-large' ? 3 << 20 : 0));
}
