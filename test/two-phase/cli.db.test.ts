/** `holdfast two-phase`, `status` and `doctor`, on what a coordinator has left behind. */
import { migrate } from 'holdfast'
import { allTables } from 'holdfast/tables'
import { failpoints } from 'holdfast/testing'
import { afterEach, expect, it } from 'vitest'
import { holdfast } from '../cli/run.ts'
import { move, moved, openWorld } from './world.ts'

afterEach(() => failpoints.reset())

it('looking makes no log, and a name that no log has is told', async () => {
  await using world = await openWorld('apart')
  const { at } = world
  await migrate(world.log, allTables)
  const env = { HOLDFAST_STORE: at.log }
  const list = ['two-phase', 'list', `payments=${at.payments}`]
  const recover = ['two-phase', 'recover', `payments=${at.payments}`, '--dry-run']
  for (const command of [list, recover]) expect((await holdfast(command, env)).code).toBe(0)
  expect(await holdfast([...list, '--log-name', 'nope'], env)).toMatchObject({
    code: 1,
    err: 'holdfast: this store has no log "nope"; it has none\n',
  })
  expect((await holdfast(['status', '--json'], env)).json().twoPhase).toEqual([])
})

it('list, show and recover settle what was left behind', async () => {
  await using world = await openWorld('apart')
  const { at } = world
  await migrate(world.log, allTables)
  const twoPhase = world.coordinator({ owner: 'shop-1' })
  // One is decided and half carried out; the other one is in doubt.
  failpoints.arm('two-phase.committing', 'throw', { times: 1 })
  await move(twoPhase, world, 'decided')
  const armed = failpoints.arm('two-phase.prepared', 'pause')
  const doubtful = move(twoPhase, world, 'doubtful').catch((error: { code: string }) => error.code)
  await armed.reached

  const env = { HOLDFAST_STORE: at.log }
  const participants = [`orders=${at.orders}`, `payments=${at.payments}`]
  const listed = await holdfast(['two-phase', 'list', ...participants, '--json'], env)
  expect(listed.code).toBe(0)
  const { decisions, prepared } = listed.json()
  expect(decisions).toMatchObject([
    { decision: 'commit', participants: ['orders', 'payments'], decidedBy: 'shop-1' },
  ])
  expect(prepared.map((p: { decision: string }) => p.decision).sort()).toEqual(['commit', null, null])

  const text = await holdfast(['two-phase', 'list', ...participants], env)
  expect(text.out).toMatch(/in doubt.*holdfast:[0-9a-f]{16}:/)
  expect((await holdfast(['two-phase', 'list'], env)).out).toMatch(/commit +orders, payments +open/)
  const id = decisions[0].id as string
  const shown = await holdfast(['two-phase', 'show', id, ...participants, '--json'], env)
  expect(shown.json()).toMatchObject({
    id,
    decision: { decision: 'commit' },
    prepared: [{ participant: 'orders' }],
  })
  expect((await holdfast(['two-phase', 'show', 'f'.repeat(24), ...participants], env)).code).toBe(1)

  const recover = ['two-phase', 'recover', ...participants, '--in-doubt', '0s']
  const dry = await holdfast([...recover, '--dry-run', '--json'], env)
  expect(
    dry
      .json()
      .would.map((w: { action: string }) => w.action)
      .sort(),
  ).toEqual(['commit', 'roll back', 'roll back'])
  expect((await world.audit()).prepared).toHaveLength(3)

  // One participant alone: what belongs to the other is left over, and says so.
  const half = await holdfast(['two-phase', 'recover', participants[0] as string], env)
  expect([half.code, half.out]).toEqual([
    1,
    expect.stringMatching(/committed 1.*\nleft over: .* at payments \(commit\): not asked/),
  ])
  const done = await holdfast(recover, env)
  expect([done.code, done.out]).toEqual([0, 'committed 0, rolled back 2, too young to judge 0\n'])
  armed.resume()
  expect(await doubtful).toBe('TWO_PHASE_ABORTED')
  expect(await world.audit()).toEqual(moved('decided'))
  expect((await holdfast(['two-phase', 'list', ...participants], env)).out).toMatch(
    /decisions: none.*\n\nprepared: nothing/,
  )
  expect((await holdfast(['two-phase', 'list', '--all', '--json'], env)).json().decisions).toHaveLength(2)
})

it('status and doctor warn of what is old', async () => {
  await using world = await openWorld('orders')
  await migrate(world.orders, allTables)
  await migrate(world.payments, allTables)
  const twoPhase = world.coordinator()
  failpoints.arm('two-phase.committing', 'throw', { times: 1 })
  await move(twoPhase, world, 'a')
  const doctor = async (url: string) =>
    (await holdfast(['doctor', '--store', url, '--json']))
      .json()
      .findings.filter((f: { check: string }) => /two-phase|old-tr/.test(f.check))
  expect((await holdfast(['status', '--store', world.at.orders])).out).toMatch(/default +1 +\d+ ms/)
  expect((await holdfast(['status', '--store', world.at.payments])).out).toMatch(
    /prepared transactions: 1, the oldest for \d+/,
  )
  expect((await doctor(world.at.orders)).map((f: { level: string }) => f.level)).toContain('ok')

  await world.orders.execute('update holdfast_two_phase set decided_at_ms = decided_at_ms - 120000')
  expect(await doctor(world.at.orders)).toContainEqual(
    expect.objectContaining({ check: 'two-phase', level: 'warning' }),
  )
  expect((await holdfast(['status', '--store', world.at.orders])).out).toMatch(
    /WARNING: a two-phase transaction was left behind/,
  )
  await twoPhase.recover()
})

it('unreachable participants and bad arguments have their own exit codes', async () => {
  await using world = await openWorld('orders')
  const env = { HOLDFAST_STORE: world.at.orders }
  const gone = await holdfast(['two-phase', 'recover', 'payments=postgres://127.0.0.1:1/x'], env)
  expect([gone.code, gone.out]).toEqual([
    2,
    expect.stringMatching(/participant "payments" cannot be reached/),
  ])
  for (const argument of ['payments', 'sqlite:x.db', 'a b=postgres://x', 'payments=http://x']) {
    expect((await holdfast(['two-phase', 'recover', argument], env)).code).toBe(64)
  }
  expect((await holdfast(['two-phase', 'recover'], env)).code).toBe(64)
})
