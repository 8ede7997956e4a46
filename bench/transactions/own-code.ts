import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'holdfast'
import { sqlite } from 'holdfast/sqlite'
import { quantile, type Sample } from '../lib/report.ts'

const TURNS = 20
const PAGE = Buffer.alloc(4096)
const PAGES = 1_000

/**
 * What a transaction on SQLite runs besides its statements: on a driver that does nothing, called again and again, and after
 * each wait for the disk, when the processor's caches are cold. Medians of single calls, which other work on the machine
 * distorts little; beside it a loop that lasts as long and touches little memory, which stays what it is.
 */
export async function ownCode(folder: string, scale: number): Promise<Sample[]> {
  const statement = { all: () => [{ journal_mode: 'wal' }], run: () => ({ changes: 1 }), reader: false }
  const nothing = { prepare: () => statement, exec() {}, close() {}, inTransaction: false }
  const store = sqlite({ open: () => nothing })
  const ways: Readonly<Record<string, () => Promise<unknown>>> = {
    'an empty async function': async () => {},
    'a timer, set and cleared': async () => clearTimeout(setTimeout(() => {}, 30_000)),
    'a loop of 4 µs': async () => {
      for (const end = performance.now() + 0.004; performance.now() < end; );
    },
    'store.transaction': () => store.transaction((tx) => tx.execute(sql`insert into t (v) values (${'x'})`)),
  }
  const file = openSync(join(folder, 'other'), 'w')
  let written = 0
  const waitForDisk = (): void => {
    writeSync(file, PAGE, 0, PAGE.length, (written++ % PAGES) * PAGE.length)
    fdatasyncSync(file)
  }
  const calls = Math.max(20, Math.round(300 * scale))
  const times = new Map<string, number[]>()
  for (const way of Object.values(ways)) for (let i = 0; i < 30_000; i++) await way()
  for (let turn = 0; turn < TURNS; turn++) {
    for (const cold of [false, true]) {
      for (const [system, way] of Object.entries(ways)) {
        const metric = `own code, ${cold ? 'after each wait for the disk' : 'again and again'}`
        const name = JSON.stringify([metric, system])
        const taken = times.get(name) ?? []
        times.set(name, taken)
        for (let i = 0; i < calls; i++) {
          if (cold) waitForDisk()
          const began = performance.now()
          await way()
          taken.push((performance.now() - began) * 1000)
        }
      }
    }
  }
  closeSync(file)
  return [...times].map(([name, taken]) => {
    const [metric, system] = JSON.parse(name) as [string, string]
    return { metric, system, unit: 'µs', value: quantile(taken, 0.5) }
  })
}
