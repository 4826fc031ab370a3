// reboot.test.ts again, with pods that have no pause container.
process.env['GANTRY_E2E_INFRA'] = 'none';
await import('./reboot.test.ts');
