/** `holdfast race --spec` against a real PostgreSQL, with an expected output of our own. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { holdfast } from '../../cli/run.ts'
import { type TempFolder, tempFolder } from '../../support/files.ts'
import { type FreshDatabase, freshDatabase } from '../../support/postgres.ts'

let db: FreshDatabase
let folder: TempFolder
beforeAll(async () => {
  db = await freshDatabase()
  folder = tempFolder('spec')
})
afterAll(async () => {
  folder.remove()
  await db.drop()
})

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))

function file(text: string): string {
  const name = folder.file('x.spec')
  writeFileSync(name, text)
  return name
}

const run = (spec: string, env: Record<string, string> = {}, ...more: string[]) =>
  holdfast(['race', '--spec', spec, '--store', db.url, ...more], env)

it('prints what isolationtester prints: waits, markers, notices, NOTIFY, errors, a deadlock, a cancel', async () => {
  const { code, out, err } = await run(path('transfers.spec'))
  expect(out).toBe(readFileSync(path('transfers.out'), 'utf8'))
  expect(err).toBe('unused step name: b_unused\n')
  expect(code).toBe(0)
})

it('--json has the output as one field, with counts', async () => {
  const spec = file('session s step a { select 1 as one; } session t step b { }')
  const answer = await run(spec, {}, '--json')
  expect(answer.json()).toMatchObject({ ok: true, sessions: 2, permutations: 2, waits: 0 })
  expect(answer.json().output).toContain(
    'starting permutation: b a\nstep b: \nstep a: select 1 as one;\none\n---\n',
  )
})

it('cancels a step that nothing lets go on, and gives up where that does not help', async () => {
  const stuck = file(`
    session s step hold { select pg_advisory_lock(4711); } step free { select pg_advisory_unlock(4711); }
    session t step wait { select pg_advisory_xact_lock(4711); } step more { select 2 as two; }
    permutation hold wait more free`)
  const { code, out } = await run(stuck, { PGISOLATIONTIMEOUT: '1' })
  expect(out).toContain(
    'isolationtester: canceling step wait after 1 seconds\nstep wait: <... completed>\n' +
      'ERROR:  canceling statement due to user request\nstep more: select 2 as two;\n',
  )
  expect(code).toBe(0)
})

it('a failed setup ends the run with 1, and steps that hold each other back do too', async () => {
  const failed = await run(file('setup { select nothing; } session s step a { }'))
  expect(failed).toMatchObject({ code: 1 })
  expect(failed.err).toBe(
    'setup failed: ERROR:  column "nothing" does not exist\nLINE 1: select nothing;\n               ^\n\n',
  )
  const mutual = await run(file('session s step a { } session t step b { } permutation a(*, b) b(a)'))
  expect(mutual.code).toBe(1)
  expect(mutual.err).toBe('failed to complete permutation due to mutually-blocking steps\n')
})

it('a teardown that fails is said, and the run goes on', async () => {
  const { code, out, err } = await run(file('teardown { select nothing; } session s step a { } step b { }'))
  expect(code).toBe(0)
  expect(err).toContain('teardown failed: ERROR:  column "nothing" does not exist\n')
  expect(out).toContain('step b: \n')
})

it('a connection that is lost is reported like libpq reports it', async () => {
  const spec = file('session s step a { select pg_terminate_backend(pg_backend_pid()); } step b { }')
  const { code, out } = await run(spec)
  expect(out).toContain(
    'FATAL:  terminating connection due to administrator command\n' +
      'server closed the connection unexpectedly\n\tThis probably means',
  )
  expect(code).toBe(1)
})

it('a file that is malformed ends with 65, wrong use with 64, no server with 2', async () => {
  expect(await run(file('session'))).toMatchObject({ code: 65, out: '' })
  expect(await run(folder.file('none'))).toMatchObject({ code: 64 })
  expect(await run(file('session s step a { }'), { PGISOLATIONTIMEOUT: 'x' })).toMatchObject({ code: 64 })
  expect(await run(file('session s step a { }'), {}, 'FILE')).toMatchObject({ code: 64 })
  expect(await holdfast(['race'])).toMatchObject({ code: 64 })
  const spec = file('session s step a { }')
  expect(await holdfast(['race', '--spec', spec, '--store', 'sqlite:x'])).toMatchObject({ code: 64 })
  expect(await holdfast(['race', '--spec', spec, '--store', 'postgres://127.0.0.1:1/x'])).toMatchObject({
    code: 2,
  })
})
