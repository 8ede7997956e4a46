import { describe, expect, it } from 'vitest'
import type { StoreKind } from '../support/stores.ts'
import { runCampaign } from './campaign.ts'
import { MEMBERS, openSite, type Site } from './world.ts'

const operations = Number(process.env.HOLDFAST_REPLICA_OPERATIONS ?? 3_000)
const seed = Number(process.env.HOLDFAST_REPLICA_SEED ?? Math.floor(Math.random() * 2 ** 31))

async function withSites<T>(
  kinds: readonly StoreKind[],
  work: (sites: readonly Site[]) => Promise<T>,
): Promise<T> {
  const [a, b, c] = MEMBERS
  await using berlin = await openSite(a, kinds[0])
  await using oslo = await openSite(b, kinds[1])
  await using paris = await openSite(c, kinds[2])
  return await work([berlin, oslo, paris])
}

describe(`three replicas, cut off and healed, with delayed, repeated and reordered messages (HOLDFAST_REPLICA_SEED=${seed})`, () => {
  it(`agree with the model after ${operations} operations`, { timeout: 300_000 }, async () => {
    const report = await withSites(['sqlite', 'sqlite', 'sqlite'], (sites) =>
      runCampaign(sites, { seed, operations }),
    )
    expect(report.findings).toEqual([])
    expect(report.writes).toBeGreaterThan(operations / 2)
    expect(report.conflicts).toBeGreaterThan(0)
  })

  it('agree on SQLite and PostgreSQL together, and where messages are lost, by pulls', {
    timeout: 120_000,
  }, async () => {
    const report = await withSites(['sqlite', 'postgres', 'postgres'], (sites) =>
      runCampaign(sites, { seed, operations: 600, lose: 0.2 }),
    )
    expect(report.findings).toEqual([])
  })
})

/** The state of a change, as it is sent. */
type State = { context: [string, number][]; alive: unknown[] }

const BROKEN: readonly { readonly name: string; readonly spoil: (state: State) => State }[] = [
  { name: 'keeps one sibling of several', spoil: (state) => ({ ...state, alive: state.alive.slice(-1) }) },
  {
    name: 'has seen nothing, so that what was replaced comes back',
    spoil: ({ context, alive }) => ({
      context: context.filter(([replica]) => alive.some((dot) => (dot as [string])[0] === replica)),
      alive,
    }),
  },
  {
    name: 'believes that it has seen the others',
    spoil: ({ context, alive }) => ({
      context: context.map(([replica, count]) => [replica, count + 1]),
      alive,
    }),
  },
]

describe('a merge that is broken is seen by the model: it', () => {
  it.each(BROKEN)('$name', { timeout: 60_000 }, async ({ spoil }) => {
    const report = await withSites(['sqlite', 'sqlite', 'sqlite'], (sites) =>
      runCampaign(sites, {
        seed: 7,
        operations: 1_500,
        receive: (site, payload) => {
          const change = payload as { state: State }
          return site.receive({ ...change, state: spoil(change.state) })
        },
      }),
    )
    expect(report.findings).not.toEqual([])
  })
})
