import type { RemedyResult } from '../remedy/remedy.ts'
import type { RaceReport } from '../report.ts'
import type { Ran, Runner, SerialOutcome, Unit } from '../unit.ts'
import type { FromWorker, WorkerStart } from './protocol.ts'
import { Worker } from './worker.ts'

/** Units that a worker has at hand: the next one is there when one is done. */
const AT_HAND = 2
/** Units under way for each worker, so that a slow one does not leave the others without. */
const AHEAD = 4

interface Job {
  readonly unit: Unit
  resolve(ran: Ran): void
  reject(error: unknown): void
}

/** Runs units in several processes. */
export class WorkerPool implements Runner {
  readonly width: number
  readonly #workers: readonly Worker[]
  readonly #queue: Job[] = []

  constructor(count: number) {
    this.#workers = Array.from({ length: count }, (_, index) => new Worker(index))
    this.width = AHEAD * count
  }

  /** Loads the race in each process. @throws what the first one that fails does */
  async start(starts: readonly WorkerStart[]): Promise<void> {
    await Promise.all(this.#workers.map((worker, index) => worker.start(starts[index] as WorkerStart)))
  }

  run(unit: Unit): Promise<Ran> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ unit, resolve, reject })
      this.#dispatch()
    })
  }

  #dispatch(): void {
    for (;;) {
      const idlest = this.#workers.reduce((least, other) => (other.load < least.load ? other : least))
      if (idlest.load >= AT_HAND) return
      const job = this.#queue.shift()
      if (job === undefined) return
      idlest
        .ask({ kind: 'run', unit: job.unit })
        .then((answer) => job.resolve((answer as Extract<FromWorker, { kind: 'ran' }>).ran), job.reject)
        .finally(() => this.#dispatch())
    }
  }

  know(serial: readonly SerialOutcome[]): void {
    for (const worker of this.#workers) worker.tell({ kind: 'know', serial })
  }

  /** By one worker, which depends on what is left of the budget; the others have nothing left to do. */
  async remedies(report: RaceReport): Promise<readonly RemedyResult[]> {
    const [first, ...others] = this.#workers as [Worker, ...Worker[]]
    const ended = Promise.all(others.map((worker) => worker.end()))
    const answer = (await first.ask({ kind: 'remedies', report })) as Extract<
      FromWorker,
      { kind: 'remedies' }
    >
    await ended
    return answer.remedies
  }

  /** Twice is fine. */
  async end(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.end()))
  }
}
