/**
 * Three contenders with one lock in a cluster of three nodes, while its leader is killed, a node is cut off, a holder is
 * stopped beyond its lease, and the wall clock of one contender is an hour ahead. What was written through the guard is the
 * history that is checked. HOLDFAST_TEST_LOCK_ROUNDS repeats the faults; one round is the short form.
 *
 * The clusters are those that HOLDFAST_TEST_ETCD_CLUSTER and HOLDFAST_TEST_ZOOKEEPER_CLUSTER name, else they are started
 * here. What cannot be done to a given cluster is reported as skipped.
 */
import { randomUUID } from 'node:crypto'
import { postgres } from 'holdfast/postgres'
import { sql } from 'holdfast/store'
import { allTables, migrate } from 'holdfast/tables'
import { checkGuardedWrites } from 'holdfast/testing'
import { describe, expect, it } from 'vitest'
import type { Cluster } from '../support/cluster-node.ts'
import { describeWithCluster } from '../support/clusters.ts'
import { freshPool } from '../support/postgres.ts'
import { type Fixture, startFixture } from '../support/process.ts'
import { until } from '../support/wait.ts'
import type { ContenderLine, Setup } from './fixtures/contender.ts'

const ROUNDS = Number(process.env.HOLDFAST_TEST_LOCK_ROUNDS ?? 1)
const HOUR_MS = 3_600_000

describe.each(['etcd', 'zookeeper'] as const)('%s', (kind) => {
  describeWithCluster(kind, `three nodes of ${kind}`, ({ breakable, ttlMs, open }) => {
    const faults = breakable ? 'kills, a partition, a pause' : 'a pause'
    if (!breakable)
      it.skip('keep them through kills and a partition (skipped: HOLDFAST_TEST_CLUSTER_COMMAND is not set)', () => {})
    it(`keep guarded writes in the order of tokens through ${faults} and a skewed clock`, {
      timeout: 90_000 + 90_000 * ROUNDS,
    }, async () => {
      await using database = await freshPool()
      await using cluster = await open()
      const store = postgres(database.pool)
      await migrate(store, allTables)
      await store.execute(
        'create table written (n bigint generated always as identity, token bigint not null, holder text not null)',
      )
      const name = `resource ${randomUUID()}`
      const urls = cluster.nodes.map((node) => node.url)
      const contenders = [0, HOUR_MS, -HOUR_MS].map((skewMs): Fixture<ContenderLine> => {
        const setup: Setup = { kind, urls, store: database.url, name, ttlMs, skewMs }
        return startFixture<ContenderLine>(new URL('./fixtures/contender.ts', import.meta.url), {
          args: [JSON.stringify(setup)],
        })
      })
      const written = async (): Promise<{ token: bigint; holder: string }[]> =>
        (
          await store.query<{ token: string; holder: string }>(
            sql`select token, holder from written order by n`,
          )
        ).map((row) => ({ token: BigInt(row.token), holder: row.holder }))
      /** Each of them, from now on. */
      const progress = async (what: string): Promise<void> => {
        const before = contenders.map(({ lines }) => lines.length)
        try {
          await until(
            () =>
              contenders.every(({ lines }, i) => lines.slice(before[i]).some((line) => line.did === 'wrote')),
            { deadlineMs: 45_000, what: `all contenders to write ${what}` },
          )
        } catch (cause) {
          const said = contenders.map(({ lines, stderr }, i) => [lines.slice(before[i]).slice(-5), stderr()])
          throw new Error(`no progress ${what}: ${JSON.stringify(said)}`, { cause })
        }
      }
      await progress('at first')

      for (let round = 0; round < ROUNDS; round++) {
        if (breakable) await breakNodes(cluster, progress)

        const sleeper = contenders[round % contenders.length] as Fixture<ContenderLine>
        const others = contenders.filter((other) => other !== sleeper)
        const from = sleeper.lines.length
        sleeper.send('sleep')
        const { token } = (await until(
          () => sleeper.lines.slice(from).find((line) => line.did === 'sleeps'),
          {
            deadlineMs: 30_000,
            what: 'the holder to stop itself',
          },
        )) as { token: string }
        await until(async () => (await written()).some((write) => write.token > BigInt(token)), {
          deadlineMs: 30_000,
          what: 'a successor of the holder that is stopped to write',
        })
        expect(others.some(({ lines }) => lines.length > 0)).toBe(true)
        sleeper.thaw()
        const after = await until(
          () =>
            sleeper.lines
              .slice(from)
              .find((line) => line.did !== 'sleeps' && line.did !== 'failed' && line.token === token),
          { what: 'the holder that was stopped to try its write' },
        )
        expect(after.did).toBe('refused')
        await progress('after the pause')
      }

      const history = await written()
      expect(checkGuardedWrites(history)).toEqual([])
      // Each was confirmed once, and none that was refused is there.
      const confirmed = contenders.flatMap(({ lines }) => lines.filter((line) => line.did === 'wrote'))
      expect(new Set(history.map((write) => write.token)).size).toBe(history.length)
      const tokens = new Set(history.map((write) => `${write.token}`))
      expect(confirmed.filter((line) => !tokens.has(line.token))).toEqual([])
      for (const contender of contenders) contender.send('stop')
    })
  })
})

/** One node after the other: the majority goes on. */
async function breakNodes(cluster: Cluster, progress: (what: string) => Promise<void>): Promise<void> {
  const leader = await cluster.leader()
  await leader.kill()
  await progress('after the leader was killed')
  await leader.start()

  const cut = await cluster.leader()
  cut.cut()
  await progress('while a node is cut off')
  cut.heal()
  await progress('after healing')
}
