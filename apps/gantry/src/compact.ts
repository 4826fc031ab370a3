import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { loadConfig } from '@gantry/config';
import { runServices, type ServiceDefinition } from '@gantry/service-kit';
import { appsDir, enabledApps } from './supervisor/child-plan.ts';

/*
 * Every service in one process, for small nodes. The services are found by their path, not
 * imported: an app knows no other app.
 */
const { values } = parseArgs({ options: { config: { type: 'string' } } });
const definitions = await Promise.all(
  enabledApps(loadConfig(values.config)).map(async (app) => {
    const url = pathToFileURL(join(appsDir, app, 'src/service.ts')).href;
    const module = (await import(url)) as { readonly service: ServiceDefinition };
    return module.service;
  }),
);
await runServices(definitions);
