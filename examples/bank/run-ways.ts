import { fork } from 'node:child_process'
import { type Address, balanceOf, createAccount, openBank, removeAccount } from './bank.ts'
import type { Way } from './ways.ts'
import type { Job, WorkerMessage, WorkerSetup } from './worker.ts'

export interface Run {
  readonly store: Address['kind']
  readonly processes: number
  readonly way: string
  readonly clients: number
  readonly deposits: number
  /** Deposits that the customer was told are done. */
  readonly confirmed: number
  /** Deposits that ended with an error: the customer knows, and nothing is lost. */
  readonly refused: number
  readonly balance: number
  /** Confirmed deposits that are not in the account. */
  readonly lost: number
  readonly perSecond: number
  /** No deposit may be lost this way. */
  readonly keeps: boolean
  readonly refusal?: string
}

export interface Plan {
  readonly address: Address
  readonly ways: readonly Way[]
  readonly processes: number
  readonly clients: number
  readonly deposits: number
}

/** Tries each way on an account that begins empty, with all processes starting together. */
export async function runWays(plan: Plan): Promise<Run[]> {
  const { address, ways, processes, clients, deposits } = plan
  const bank = await openBank(address, 1)
  await createAccount(bank)
  const workers = Array.from({ length: processes }, (_, i) =>
    startWorker({ address, clients: share(clients, processes, i) }),
  )
  try {
    await Promise.all(workers.map((w) => w.next('ready')))
    const runs: Run[] = []
    for (const way of ways) {
      await createAccount(bank)
      const startMs = performance.now()
      const results = await Promise.all(
        workers.map((w, i) => w.run({ way: way.name, deposits: share(deposits, processes, i) })),
      )
      const seconds = (performance.now() - startMs) / 1000
      const balance = await balanceOf(bank)
      const confirmed = sum(results.map((r) => r.confirmed))
      const refusal = results.find((r) => r.refusal !== undefined)?.refusal
      runs.push({
        store: bank.kind,
        processes,
        way: way.name,
        clients,
        deposits,
        confirmed,
        refused: sum(results.map((r) => r.refused)),
        balance,
        lost: confirmed - balance,
        perSecond: Math.round(confirmed / seconds),
        keeps: way.keeps(bank.kind, processes),
        ...(refusal === undefined ? {} : { refusal }),
      })
    }
    return runs
  } finally {
    for (const { stop } of workers) await stop()
    await removeAccount(bank)
    await bank.close()
  }
}

type Done = Extract<WorkerMessage, { kind: 'done' }>

interface WorkerHandle {
  next(kind: WorkerMessage['kind']): Promise<WorkerMessage>
  run(job: Job): Promise<Done>
  stop(): Promise<void>
}

function startWorker(setup: WorkerSetup): WorkerHandle {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const child = fork(new URL(`./worker.${extension}`, import.meta.url), [JSON.stringify(setup)])
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const next: WorkerHandle['next'] = (kind) =>
    new Promise((resolve, reject) => {
      const listen = (message: WorkerMessage): void => {
        if (message.kind !== kind) return
        child.off('message', listen)
        resolve(message)
      }
      child.on('message', listen)
      void exited.then((code) => reject(new Error(`a process of the exercise ended with ${code}`)))
    })
  return {
    next,
    run(job) {
      const done = next('done') as Promise<Done>
      child.send(job)
      return done
    },
    async stop() {
      if (child.connected) child.disconnect()
      await exited
    },
  }
}

/** `total` in `parts` whole parts that differ by one at most. */
function share(total: number, parts: number, i: number): number {
  return Math.floor(total / parts) + (i < total % parts ? 1 : 0)
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0)
}
