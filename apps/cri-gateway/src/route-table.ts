import type { DescService } from '@bufbuild/protobuf';
import type { ServiceName } from '@gantry/bus';
import { Diagnostics, ImageAdmin, ImageImport, ImageService, RuntimeService } from '@gantry/proto';
import { PluginInspection } from '@gantry/proto/nri-broker';

/** What moves bytes beside the request belongs to stream-server; so does a command's output. */
const streamMethods: ReadonlySet<string> = new Set(['ExecSync', 'Exec', 'Attach', 'PortForward']);

/** Who answers the methods of each service that is served on the socket. */
const owners = [
  { service: RuntimeService, owner: 'sandbox' },
  { service: ImageService, owner: 'image' },
  { service: ImageImport, owner: 'image' },
  { service: ImageAdmin, owner: 'image' },
  { service: Diagnostics, owner: 'sandbox' },
  { service: PluginInspection, owner: 'nri' },
] as const satisfies readonly { service: DescService; owner: ServiceName }[];

export const servedServices: readonly DescService[] = owners.map(({ service }) => service);

/** Where one method goes. */
export interface Route {
  /** The RPC's own name, such as `RunPodSandbox`. */
  readonly operation: string;
  readonly owner: ServiceName;
  /** It is of the CRI, and counted as such. */
  readonly isCri: boolean;
}

/** The whole of the gateway's knowledge: full method -> who answers it. */
export const routeTable: ReadonlyMap<string, Route> = new Map(
  owners.flatMap(({ service, owner }) =>
    service.methods.map((method): [string, Route] => [
      `${service.typeName}/${method.name}`,
      {
        operation: method.name,
        owner: service === RuntimeService && streamMethods.has(method.name) ? 'stream' : owner,
        isCri: service.typeName.startsWith('runtime.v1.'),
      },
    ]),
  ),
);
