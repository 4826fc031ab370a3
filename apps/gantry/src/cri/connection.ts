import { Diagnostics, ImageAdmin, ImageImport, ImageService, RuntimeService } from '@gantry/proto';
import { PluginInspection } from '@gantry/proto/nri-broker';
import { dial, type RpcClient } from '@gantry/rpc';
import type { Invocation } from '../invocation.ts';

/** The services of a stack, reached through its socket as crictl does. */
export interface CriConnection extends Disposable {
  readonly runtime: RpcClient<typeof RuntimeService>;
  readonly images: RpcClient<typeof ImageService>;
  readonly imageAdmin: RpcClient<typeof ImageAdmin>;
  readonly importer: RpcClient<typeof ImageImport>;
  readonly diagnostics: RpcClient<typeof Diagnostics>;
  readonly plugins: RpcClient<typeof PluginInspection>;
}

/** Connects to the socket of the config. What is wrong with it is told by the first call. */
export function connect(invocation: Invocation): CriConnection {
  const connection = dial(invocation.config().grpc.socket);
  return {
    runtime: connection.client(RuntimeService),
    images: connection.client(ImageService),
    imageAdmin: connection.client(ImageAdmin),
    importer: connection.client(ImageImport),
    diagnostics: connection.client(Diagnostics),
    plugins: connection.client(PluginInspection),
    [Symbol.dispose]: () => {
      connection.close();
    },
  };
}
