/** The demo as a program: it forks its services, does its harm, and leaves nothing behind. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { pairOperations } from '../../src/history/index.ts'
import { tempFolder } from '../support/files.ts'
import { until } from '../support/wait.ts'
import { startDemo } from './start-demo.ts'

const DEMO_MS = 120_000

/** Around any commit, the first ones while a service still starts; the others between two effects of a handler, of what it publishes, or of the relay. */
const KILL_AT = [
  'store.commit.before',
  'store.commit.after',
  'inbox.handle.begun',
  'inbox.handle.recorded',
  'inbox.handle.worked',
  'outbox.publish.flushed',
  'inbox.consume.committed',
  'inbox.consume.acked',
  'outbox.relay.read',
  'outbox.relay.published',
  'outbox.relay.deleting',
  'outbox.relay.deleted',
  'store-queue.append.inserted',
]

interface Run {
  readonly mode: string
  readonly orders: number
  readonly ended: number
  readonly anomalies: Readonly<Record<string, number>>
  readonly findings: readonly { kind: string; text: string }[]
  readonly kills: number
  readonly everythingEnded: boolean
  readonly p50Ms: number
}

function sum(anomalies: Readonly<Record<string, number>>): number {
  return Object.values(anomalies).reduce((a, b) => a + b, 0)
}

/** The service processes of one demo, by its number. */
function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid ? [Number(name)] : []
      } catch {
        return [] // it ended meanwhile
      }
    })
}

describe('holdfast demo', () => {
  it(
    'breaks without Holdfast and holds with it, under the same faults',
    async () => {
      const demo = startDemo(['--orders', '60', '--json', '--seed', '3'])
      const code = await demo.exited
      expect(code, demo.stderr() + demo.stdout()).toBe(0)
      const { runs, ok } = JSON.parse(demo.stdout()) as { runs: Run[]; ok: boolean }
      const [naive, holdfast] = runs as [Run, Run]
      expect(ok).toBe(true)
      expect([naive.mode, holdfast.mode]).toEqual(['naive', 'holdfast'])
      expect(sum(naive.anomalies)).toBeGreaterThan(0)
      expect(holdfast.findings).toEqual([])
      expect(sum(holdfast.anomalies)).toBe(0)
      expect(holdfast).toMatchObject({ orders: 60, ended: 60, everythingEnded: true })
      expect(holdfast.kills).toBeGreaterThan(0)
      expect(demo.leftFolders()).toEqual([])
    },
    DEMO_MS,
  )

  it(
    'charges twice without the inbox, and says so with its exit code',
    async () => {
      const demo = startDemo(['--orders', '80', '--json', '--only', 'holdfast', '--without', 'inbox'])
      expect(await demo.exited).toBe(1)
      const { runs } = JSON.parse(demo.stdout()) as { runs: [Run] }
      expect(runs[0].anomalies.chargedTwice).toBeGreaterThan(0)
    },
    DEMO_MS,
  )

  it(
    'holds on PostgreSQL, whose connections are cut at COMMIT',
    async () => {
      const url = inject('postgresUrl')
      const demo = startDemo(['--orders', '40', '--json', '--only', 'holdfast', '--store', url])
      const code = await demo.exited
      expect(code, demo.stderr() + demo.stdout()).toBe(0)
      const { runs } = JSON.parse(demo.stdout()) as { runs: [Run] }
      expect(sum(runs[0].anomalies)).toBe(0)
    },
    DEMO_MS,
  )

  it(
    'loses and doubles nothing wherever its services are killed',
    async () => {
      const args = ['--orders', '300', '--json', '--only', 'holdfast', '--faults', 'none']
      const demo = startDemo([...args, '--kill-at', KILL_AT.join(',')])
      expect(await demo.exited, demo.stderr() + demo.stdout()).toBe(0)
      const { runs } = JSON.parse(demo.stdout()) as { runs: [Run] }
      expect(runs[0].findings).toEqual([])
      expect(runs[0]).toMatchObject({ ended: 300, everythingEnded: true })
      // A service's last life may see the end of the work before it gets to its failpoint.
      expect(runs[0].kills).toBeGreaterThanOrEqual(3 * KILL_AT.length)
      expect(runs[0].kills).toBeLessThanOrEqual(4 * KILL_AT.length)
    },
    DEMO_MS,
  )

  it(
    'writes the page and the history, and keeps the databases when asked to',
    async () => {
      const folder = tempFolder('demo-output')
      onTestFinished(folder.remove)
      const [html, history, keep] = ['page.html', 'history.jsonl', 'kept'].map(folder.file) as [
        string,
        string,
        string,
      ]
      const demo = startDemo([
        '--orders',
        '20',
        '--faults',
        'none',
        '--only',
        'holdfast',
        '--html',
        html,
        '--history',
        history,
        '--keep',
        keep,
      ])
      expect(await demo.exited, demo.stderr()).toBe(0)
      expect(demo.stdout()).toContain('every order reached an end')
      const page = readFileSync(html, 'utf8')
      expect(page).toContain('<svg')
      expect(page).not.toMatch(/<script|src=|href=|@import/)
      const lines = readFileSync(history, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
      const placed = lines.filter((l) => l.f === 'place-order')
      expect(placed.filter((l) => l.type === 'invoke')).toHaveLength(20)
      expect(placed.filter((l) => l.type === 'ok')).toHaveLength(20)
      expect(lines.map((l) => l.index)).toEqual(lines.map((_, i) => i))
      const ended = pairOperations(lines).filter((o) => o.f === 'end-order')
      expect(ended.map((o) => o.known)).toEqual(Array(20).fill(true))
      for (const service of ['order', 'payment', 'restaurant', 'delivery', 'queue'])
        expect(existsSync(`${keep}/holdfast/${service}.db`)).toBe(true)
    },
    DEMO_MS,
  )

  it.runIf(existsSync('/proc')).each([
    ['the services', 4, /running/, ['--only', 'holdfast']],
    ['the sites', 3, /three sites/, ['--flow', 'replicas', '--orders', '3000']],
    ['the coordinators', 2, /two coordinators/, ['--flow', 'two-phase', '--store', inject('postgresUrl')]],
  ] as const)(
    'ends %s and removes its files when interrupted',
    async (who, count, running, args) => {
      const demo = startDemo(args)
      const pid = demo.child.pid ?? 0
      const processes = await until(
        () => {
          const found = childrenOf(pid)
          return found.length >= count && running.test(demo.stdout()) ? found : undefined
        },
        { deadlineMs: 60_000, what: `${who} to run` },
      )
      demo.child.kill('SIGINT')
      expect(await demo.exited).toBe(130)
      await until(() => processes.every((one) => !existsSync(`/proc/${one}`)), { what: `${who} to end` })
      expect(demo.leftFolders()).toEqual([])
    },
    DEMO_MS,
  )

  it('answers wrong usage with one sentence and exit code 64', async () => {
    const demo = startDemo(['--orders', 'many', '--json'])
    expect(await demo.exited).toBe(64)
    expect(demo.stderr()).toBe(
      'holdfast demo: --orders must be a whole number from 1 to 100000, got "many"\n',
    )
    expect(JSON.parse(demo.stdout())).toMatchObject({
      ok: false,
      error: { code: 'USAGE', outcome: 'not-applied' },
    })
  })

  it('names the option when the server cannot be reached', async () => {
    const demo = startDemo(['--orders', '5', '--store', 'postgres://127.0.0.1:1/x', '--json'])
    expect(await demo.exited).toBe(1)
    expect(demo.stderr()).toMatch(
      /^holdfast demo: connect ECONNREFUSED .*: check the address of --store, .*\n$/m,
    )
    expect(JSON.parse(demo.stdout())).toMatchObject({ error: { code: 'DEMO_FAILED' }, ok: false })
  })

  it('refuses what it could not write at its end before it begins', async () => {
    for (const option of ['--html', '--history', '--keep']) {
      const demo = startDemo(['--orders', '5', option, '/dev/null/x'])
      expect([option, await demo.exited, demo.stdout()]).toEqual([option, 64, ''])
      expect(demo.stderr()).toMatch(
        new RegExp(`^holdfast demo: ${option}: /dev/null/x cannot be written: .*\\n$`),
      )
    }
  })
})
