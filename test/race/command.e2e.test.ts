/** `holdfast race FILE` as a user runs it: a TypeScript file, a finding, its replay. */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { raceCommand } from '../../src/cli/commands/race.ts'
import type { RaceReport } from '../../src/race/index.ts'
import { type TempFolder, tempFolder } from '../support/files.ts'
import { type FreshDatabase, freshDatabase } from '../support/postgres.ts'

let db: FreshDatabase
let folder: TempFolder
beforeAll(async () => {
  db = await freshDatabase()
  folder = tempFolder('race')
})
afterAll(async () => {
  folder.remove()
  await db.drop()
})

const io = { out: () => {}, err: () => {}, colour: false, env: {} }

function file(name: string, select: string): string {
  const entry = fileURLToPath(import.meta.resolve('../../src/race/index.ts'))
  const driver = fileURLToPath(import.meta.resolve('pg'))
  const path = folder.file(name)
  writeFileSync(
    path,
    `import { race } from ${JSON.stringify(entry)}
     import pg from ${JSON.stringify(driver)}
     const pool = new pg.Pool({ connectionString: ${JSON.stringify(db.url)} })
     async function withdraw(amount) {
       const client = await pool.connect()
       try {
         await client.query('begin')
         const { rows } = await client.query('${select}')
         await client.query('update account set balance = $1', [rows[0].balance - amount])
         await client.query('commit')
       } finally { client.release() }
     }
     export default race('two withdrawals', {
       store: pool,
       setup: (db) => db.query('create table if not exists account (balance int); delete from account; insert into account values (100)'),
       tasks: { alice: () => withdraw(30), bob: () => withdraw(50) },
     })`,
  )
  return path
}

async function run(path: string, values: Record<string, string> = {}) {
  const { exitCode, text, data } = await raceCommand.run({ values, positionals: [path], io })
  return { exitCode, text, report: (data as { races: RaceReport[] }).races[0] as RaceReport }
}

it('prints the race as a table, ends with 1, and replays it', async () => {
  const found = await run(file('lost.mjs', 'select balance from account'))
  expect(found.exitCode).toBe(1)
  expect(found.text).toContain('two withdrawals: LOST UPDATE')
  expect(found.text).toContain('replay:   --replay r1:a2b4a2')
  const schedule = found.report.finding?.schedule as string
  const again = await run(file('again.mjs', 'select balance from account'), { replay: schedule })
  expect(again.exitCode).toBe(1)
  expect(again.report.finding?.steps).toEqual(found.report.finding?.steps)
})

it('ends with 0 once the row is locked', async () => {
  const { exitCode, report } = await run(file('locked.mjs', 'select balance from account for update'))
  expect(exitCode).toBe(0)
  expect(report.coverage.exhaustive).toBe(true)
})

it('a file that exports no race is a usage error', async () => {
  const path = folder.file('none.mjs')
  writeFileSync(path, 'export default 1')
  await expect(run(path)).rejects.toMatchObject({ exitCode: 64 })
})
