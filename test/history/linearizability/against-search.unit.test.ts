/** The fast ways against the general search, on histories of simulated servers, as they are and with answers changed. */
import { describe, expect, it } from 'vitest'
import { checkLinearizable } from '../../../src/history/linearizability/check.ts'
import type { LinearizableModel } from '../../../src/history/linearizability/models.ts'
import { pairOperations } from '../../../src/history/linearizability/operation.ts'
import type { HistoryEvent } from '../../../src/history/operation.ts'
import { seeded } from '../../../src/race/random.ts'
import { mutate, objects, simulate } from './simulated.ts'

/** `HOLDFAST_CHECK_RUNS=5000` makes a campaign of it. */
const runs = Math.ceil(Number(process.env.HOLDFAST_CHECK_RUNS ?? 150))
const first = Number(process.env.HOLDFAST_CHECK_SEED ?? 1)
/** Beyond this the search is given up: a queue under heavy load has too many orders to be looked at here. */
const BOUNDS = { configurationsMax: 3_000 }

function drawn(model: string, seed: number): { events: HistoryEvent[]; changes: number } {
  const random = seeded(seed)
  let events = simulate(model, random, {
    processes: 2 + Math.floor(random() * 3),
    operations: 8 + Math.floor(random() * 40),
    lost: random() < 0.5 ? 0 : 0.08,
  })
  const changes = Math.floor(random() * 3)
  for (let n = 0; n < changes; n += 1) events = mutate(events, random)
  return { events, changes }
}

describe.each(Object.keys(objects) as LinearizableModel[])('%s', (model) => {
  it('the fast way and the search say the same, and a server that is correct is valid', () => {
    const seen = { valid: 0, invalid: 0, unknown: 0 }
    for (let seed = first; seed < first + runs; seed += 1) {
      const { events, changes } = drawn(model, seed)
      const operations = pairOperations(events)
      const { verdict } = checkLinearizable(operations, { model })
      const { verdict: searched } = checkLinearizable(operations, { model, fast: false, ...BOUNDS })
      seen[searched] += 1
      if (changes === 0) expect(verdict, `seed ${seed}`).toBe('valid')
      if (searched !== 'unknown') expect(verdict, `seed ${seed}`).toBe(searched)
    }
    expect(Math.min(seen.valid, seen.invalid)).toBeGreaterThan(runs / 10)
  })

  it('the longest prefix is linearizable, and with one more answer it is not', () => {
    let ended = 0
    for (let seed = first; seed < first + runs; seed += 1) {
      const { events } = drawn(model, seed)
      const prefix = checkLinearizable(pairOperations(events), { model, unit: 'operation' }).anomalies[0]
        ?.prefix
      if (prefix === undefined) continue
      ended += 1
      const until = prefix.before.completedAt as number
      const before = pairOperations(events.slice(0, until))
      expect(before.filter(({ known }) => known)).toHaveLength(prefix.operations)
      expect(checkLinearizable(before, { model }).verdict, `seed ${seed}`).toBe('valid')
      const after = pairOperations(events.slice(0, until + 1))
      expect(checkLinearizable(after, { model }).verdict, `seed ${seed}`).toBe('invalid')
    }
    expect(ended).toBeGreaterThan(runs / 10)
  })
})
