import { explore, type RaceDefinition, race } from 'holdfast/race'
import { atLeast, atMost, median, type Sample, toRows } from '../lib/report.ts'
import { openPool, withDatabase } from '../lib/server.ts'
import type { Bench } from '../main.ts'
import { casesOn, TABLES } from './cases.ts'

const SEEDS = 20
const SCHEDULES = 1_000

/**
 * The explorer: how soon five well-known races are found and that their cures are clean, schedules per second of two
 * tasks with four statements each (all of its 35 schedules, ten times over, without the start), how soon a blocked statement is known to be, and whether anything hangs.
 */
export const bench: Bench = {
  async run({ serverUrl, rounds, scale, only, progress }) {
    const samples: Sample[] = []
    const note = (metric: string, system: string, unit: string, value: number, lost = 0): void => {
      samples.push({ metric, system, unit, value, lost })
      progress(`${metric}: ${system}: ${value.toFixed(2)} ${unit}`)
    }
    const misses: string[] = []
    let hangs = 0
    await withDatabase(serverUrl, async (url) => {
      const pool = openPool(url, 4)
      await pool.query(TABLES)
      const cases = casesOn(pool)
      const seeds = Math.max(1, Math.round(SEEDS * scale))
      for (const { name, anomaly, broken, repaired } of cases.filter(
        (one) => !only || one.name.includes(only),
      )) {
        let [most, slowest] = [0, 0]
        for (let seed = 1; seed <= seeds; seed++) {
          const { finding, coverage } = await explore(race(name, broken), {
            seed,
            schedules: 50,
            remedies: false,
          })
          if (finding?.anomaly !== anomaly || coverage.seconds > 1) misses.push(`${name}, seed ${seed}`)
          most = Math.max(most, coverage.schedules)
          slowest = Math.max(slowest, coverage.seconds)
        }
        note('found after, most schedules', name, 'schedules', most)
        note('found after, longest', name, 's', slowest)
        const clean = await explore(race(name, repaired), { schedules: Math.round(SCHEDULES * scale) })
        if (clean.finding !== undefined) misses.push(`${name}, repaired: ${clean.finding.explanation}`)
        const reduced = await explore(race(name, repaired), {
          schedules: Math.round(SCHEDULES * scale),
          skipEquivalent: true,
        })
        if (!reduced.ok) misses.push(`${name}, repaired, without equivalent schedules`)
        note('clean without equivalent ones', name, 'schedules', reduced.coverage.schedules)
        note('clean when repaired', name, 'schedules', clean.coverage.schedules, clean.ok ? 0 : 1)
      }
      const locked = cases.find((one) => one.name === 'lost update')
        ?.repaired as (typeof cases)[0]['repaired']
      for (let round = 1; round <= rounds; round++) {
        const [start, whole] = [await total(locked, 5), await total(locked, SCHEDULES)]
        const rate = (whole.schedules - start.schedules) / (whole.seconds - start.seconds)
        note('8 statements, blocking', 'one worker', 'schedules/s', rate)
        note('to begin with', 'one worker', 'ms', (start.seconds * 1_000) / EXPLORATIONS)
        note('blocked is known after, p50', 'one worker', 'ms', whole.blockedP50Ms)
      }
      const runs = Math.round(SCHEDULES * scale)
      for (let seed = 1; seed <= runs; seed++) {
        await explore(race('for update', locked), { seed, schedules: 6, seconds: 20 }).catch(
          (error: unknown) => {
            hangs++
            progress(`seed ${seed}: ${String(error)}`)
          },
        )
      }
      note('hangs', 'FOR UPDATE', `of ${runs} seeds`, hangs)
      await pool.end()
    })
    for (const miss of misses) progress(`MISSED: ${miss}`)
    const of = (metric: string) => median(samples.filter((s) => s.metric === metric).map((s) => s.value))
    return {
      bench: 'race',
      rows: toRows(samples),
      targets: [
        atLeast('race.schedulesPerSecond', of('8 statements, blocking'), 400),
        atMost('race.blockedP50Ms', of('blocked is known after, p50'), 1),
        atMost('race.hangs', hangs, 0),
        atMost('race.missed', misses.length, 0),
      ],
    }
  },
}

const EXPLORATIONS = 10

/** Schedules and seconds of ten explorations. What each needs to begin with is told apart by a second, shorter, lot. */
async function total(definition: RaceDefinition, schedules: number) {
  const blocked: number[] = []
  const sum = { schedules: 0, seconds: 0 }
  for (let seed = 1; seed <= EXPLORATIONS; seed++) {
    const { coverage } = await explore(race('speed', definition), { seed, schedules })
    sum.schedules += coverage.schedules
    sum.seconds += coverage.seconds
    if (coverage.blockedP50Ms !== undefined) blocked.push(coverage.blockedP50Ms)
  }
  return { ...sum, blockedP50Ms: median(blocked) }
}
