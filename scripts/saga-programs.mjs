/** The campaign of random saga programs: 1,125 unless HOLDFAST_SAGA_PROGRAMS says otherwise, a third on SQLite, on PostgreSQL, and on both. */
import { run } from './tool.mjs'

process.env.HOLDFAST_SAGA_PROGRAMS ??= '375'
process.exit(run('vitest', ['run', 'test/saga/programs.fault.test.ts']))
