import { runService } from '@gantry/service-kit';
import { service } from './service.ts';

await runService(service);
