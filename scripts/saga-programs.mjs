/** The campaign of random saga programs: 1,000 unless HOLDFAST_SAGA_PROGRAMS says otherwise, on SQLite and on PostgreSQL. */
import { run } from './tool.mjs'

process.env.HOLDFAST_SAGA_PROGRAMS ??= '500'
process.exit(run('vitest', ['run', 'test/saga/programs.fault.test.ts']))
