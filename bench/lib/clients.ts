import type { Sample } from './report.ts'

/** Runs `work` in `clients` loops until `durationMs` has passed; gives how many calls were completed per second. */
export async function perSecond(
  clients: number,
  durationMs: number,
  work: (client: number, n: number) => Promise<unknown>,
): Promise<number> {
  const began = performance.now()
  let done = 0
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      while (performance.now() - began < durationMs) {
        await work(client, done)
        done++
      }
    }),
  )
  return (done / (performance.now() - began)) * 1000
}

/** Runs the ways by turns, so that a machine whose speed drifts does not decide: one sample of each, over all its turns. */
export async function sampleByTurns(
  ways: Readonly<Record<string, () => Promise<unknown>>>,
  { clients, turns, durationMs }: { clients: number; turns: number; durationMs: number },
  { metric, unit }: Pick<Sample, 'metric' | 'unit'>,
  progress: (text: string) => void,
): Promise<Sample[]> {
  const sums = new Map<string, number>()
  for (let turn = 0; turn < turns; turn++) {
    for (const [system, way] of Object.entries(ways)) {
      const value = await perSecond(clients, durationMs / turns, way)
      sums.set(system, (sums.get(system) ?? 0) + value / turns)
    }
  }
  for (const [system, value] of sums) progress(`${metric}: ${system}: ${value.toFixed(0)}/s`)
  return [...sums].map(([system, value]) => ({ system, metric, unit, value }))
}

/** The same with one client and with sixteen, as metrics of their own: `<name>, 16 at a time`. */
export async function sampleOneAndMany(
  ways: Readonly<Record<string, () => Promise<unknown>>>,
  { name, unit, only }: { name: string; unit: string; only?: string | undefined },
  plan: { turns: number; durationMs: number },
  progress: (text: string) => void,
): Promise<Sample[]> {
  const samples: Sample[] = []
  for (const clients of [1, MANY]) {
    const metric = `${name}, ${clients} at a time`
    if (only !== undefined && !metric.includes(only)) continue
    samples.push(...(await sampleByTurns(ways, { clients, ...plan }, { metric, unit }, progress)))
  }
  return samples
}

export const MANY = 16

/** Waits until `condition`, or throws after `deadlineMs` with what it waited for. */
export async function until(what: string, condition: () => boolean, deadlineMs: number): Promise<void> {
  const deadline = performance.now() + deadlineMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited ${deadlineMs} ms in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

/** Counts what a handler was given: each number once is right; less is lost, more is duplicated. */
export class Ledger {
  readonly #seen = new Map<number, number>()

  record(n: number): void {
    this.#seen.set(n, (this.#seen.get(n) ?? 0) + 1)
  }

  get distinct(): number {
    return this.#seen.size
  }

  audit(sent: number): { lost: number; duplicated: number } {
    let duplicated = 0
    for (const times of this.#seen.values()) duplicated += times - 1
    return { lost: sent - this.#seen.size, duplicated }
  }
}
