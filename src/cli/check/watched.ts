import { fork, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type CheckAnswer, type CheckJob, STANDARD_INPUT } from './job.ts'

export type Watched = CheckAnswer | { readonly kind: 'stopped'; readonly reason: string }

export interface Limits {
  readonly timeoutMs: number | undefined
  readonly memoryMb: number
}

const LOOK_MS = 50
/** The process that checks stops by itself a little before the time is up, with what it has found by then. */
const STOPS_ITSELF_AT = 0.95

/**
 * Runs a job in a process of its own and ends that process when it takes longer or grows larger than allowed, whatever
 * it is doing. Memory is what the operating system counts as resident, so it includes what lies outside the heap.
 */
export function runWatched(job: CheckJob, limits: Limits): Promise<Watched> {
  const { timeoutMs, memoryMb } = limits
  const file = fileURLToPath(new URL(`./child.js`, import.meta.url))
  const child = fork(
    file,
    [JSON.stringify(timeoutMs === undefined ? job : { ...job, timeoutMs: timeoutMs * STOPS_ITSELF_AT })],
    {
      execArgv: [`--max-old-space-size=${memoryMb}`],
      stdio: [job.path === STANDARD_INPUT ? 'inherit' : 'ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced',
    },
  )
  return new Promise((resolve, reject) => {
    let answer: Watched | undefined
    let complaint = ''
    const stop = (reason: string): void => {
      answer ??= { kind: 'stopped', reason }
      child.kill('SIGKILL')
    }
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(stop, timeoutMs, `the time of ${timeoutMs / 1000} s is up`)
    const tooMuch = `it needs more than the ${memoryMb} MB that --memory allows`
    const looking = setInterval(() => {
      if (residentMb(child.pid) > memoryMb) stop(tooMuch)
    }, LOOK_MS)
    child.stderr?.on('data', (data) => {
      complaint = (complaint + String(data)).slice(-4000)
    })
    child.on('message', (message) => {
      answer ??= message as CheckAnswer
    })
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      clearInterval(looking)
      if (answer !== undefined) resolve(answer)
      else if (/heap out of memory|Allocation failed|Array buffer allocation failed/.test(complaint)) {
        resolve({ kind: 'stopped', reason: tooMuch })
      } else if (signal === 'SIGKILL') {
        resolve({ kind: 'stopped', reason: 'the operating system ended the process that checked' })
      } else {
        resolve({ kind: 'failed', message: complaint === '' ? `it ended with ${code ?? signal}` : complaint })
      }
    })
  })
}

function residentMb(pid: number | undefined): number {
  if (pid === undefined) return 0
  try {
    const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1])
    return (pages * 4096) / 2 ** 20
  } catch {
    if (process.platform === 'linux' || process.platform === 'win32') return 0
    const { stdout } = spawnSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })
    return Number(stdout) / 1024
  }
}
