/**
 * The process that checks a history, apart from the one that watches its time and memory. Takes a job as its argument
 * and sends the answer to its parent.
 */

import type { CheckJob } from './job.ts'
import { runJob } from './run-job.ts'

const parent = process.ppid
const answer = await runJob(JSON.parse(process.argv[2] as string) as CheckJob, () => process.ppid !== parent)
process.send?.(answer, () => process.disconnect())
