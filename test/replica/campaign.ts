import { upDownCounter } from 'holdfast/causality'
import { seededRandom } from 'holdfast/testing'
import { expectedReading, type Known, Model, type Op, type Policy } from './model.ts'
import { Network } from './network.ts'
import { MEMBERS, type Member, type Site } from './world.ts'

export interface CampaignOptions {
  readonly seed: number
  readonly operations: number
  readonly lose?: number
  /** Stands in for the merge of one site, to show that the checker sees it. */
  readonly receive?: (site: Site, payload: unknown) => Promise<unknown>
}

export interface CampaignReport {
  readonly findings: readonly string[]
  readonly writes: number
  readonly conflicts: number
  readonly delivered: number
}

interface Sent {
  readonly payload: unknown
  readonly record: string
  readonly known: Known
}

const POLICIES: readonly Policy[] = ['customer', 'cart', 'stock', 'note']
const KEYS = 8
/** Findings after which a run says no more. */
const FINDINGS_MAX = 5

/**
 * Random writes, deletions, reads and stale writes at three sites, over a network that misbehaves and is cut and healed,
 * checked against the model after each arrival and at the end.
 */
export async function runCampaign(sites: readonly Site[], options: CampaignOptions): Promise<CampaignReport> {
  return new Campaign(sites, options).run()
}

class Campaign {
  readonly #sites: ReadonlyMap<Member, Site>
  readonly #options: CampaignOptions
  readonly #random: () => number
  readonly #network: Network<Sent>
  readonly #model = new Model()
  readonly #findings: string[] = []
  /** A context that some client still holds, with what it had seen. */
  readonly #held = new Map<string, { context: string; seen: Known }>()
  #delivered = 0
  #writes = 0

  constructor(sites: readonly Site[], options: CampaignOptions) {
    this.#sites = new Map(sites.map((site) => [site.id, site]))
    this.#options = options
    this.#random = seededRandom(options.seed)
    this.#network = new Network({
      random: this.#random,
      duplicate: 0.15,
      lose: options.lose ?? 0,
      delayMax: 60,
    })
  }

  async run(): Promise<CampaignReport> {
    for (let i = 0; i < this.#options.operations && this.#findings.length < FINDINGS_MAX; i++) {
      if (i % 250 === 0) this.#weather()
      await this.#operate(i)
      for (const arrival of this.#network.step()) await this.#arrive(arrival)
    }
    this.#network.heal()
    for (let rest = this.#network.rest(); rest.length > 0; rest = this.#network.rest()) {
      for (const arrival of rest) await this.#arrive(arrival)
    }
    if ((this.#options.lose ?? 0) > 0) await this.#catchUp()
    await this.#checkEnd()
    const [first] = this.#sites.values()
    return {
      findings: this.#findings,
      writes: this.#writes,
      conflicts: (await first?.replica.status())?.conflicts ?? 0,
      delivered: this.#delivered,
    }
  }

  /** Now and then one site is cut off, or all from one another. */
  #weather(): void {
    this.#network.heal()
    const kind = Math.floor(this.#random() * 4)
    const [a, b, c] = MEMBERS
    if (kind === 0) {
      this.#network.cut(a, b)
      this.#network.cut(a, c)
    } else if (kind === 1) {
      for (const [x, y] of [
        [a, b],
        [b, c],
        [a, c],
      ] as const)
        this.#network.cut(x, y)
    } else if (kind === 2) this.#network.cut(b, c)
  }

  async #operate(i: number): Promise<void> {
    const site = this.#sites.get(this.#pick(MEMBERS)) as Site
    const policy = this.#pick(POLICIES)
    const key = `k${Math.floor(this.#random() * KEYS)}`
    const record = `${policy}/${key}`
    const deletes = policy !== 'stock' && this.#random() < 0.15
    const amount = policy === 'stock' ? 1 + Math.floor(this.#random() * 5) : 0
    const known: Known = new Set(this.#model.known(site.id, record))
    const held = this.#held.get(`${site.id}/${record}`)
    const stale = policy === 'cart' && held !== undefined && this.#random() < 0.3 ? held : undefined
    const id = `${site.id}-${i}`
    const change = await this.#write(site, {
      policy,
      key,
      id,
      deletes,
      amount,
      context: stale?.context,
    }).catch((error: { code?: string }) => {
      // The bound of siblings holds; anything else is a finding.
      if (error.code !== 'REPLICA_SIBLINGS') throw error
    })
    const [payload] = (await site.sent()) as [{ at: string } | undefined]
    if (change === undefined || payload === undefined) return
    this.#writes++
    const op: Op = { id, site: site.id, record, deleted: deletes, stamp: payload.at, amount }
    this.#model.write(op, stale?.seen ?? known)
    const after: Known = new Set(this.#model.known(site.id, record))
    // A client keeps what the change gave it: the next time, it may be stale. After a stale write it may have no more
    // than before, where a vector cannot say that it has seen its own write and not the one before.
    if (this.#random() < 0.3) {
      const { context } = change
      const seen =
        stale === undefined ? after : context === stale.context ? stale.seen : new Set([...stale.seen, op])
      this.#held.set(`${site.id}/${record}`, { context, seen })
    }
    for (const to of MEMBERS)
      if (to !== site.id) this.#network.send(site.id, to, { payload, record, known: after })
    await this.#check(site, record)
  }

  #write(
    { store, replica }: Site,
    op: {
      policy: Policy
      key: string
      id: string
      deletes: boolean
      amount: number
      context: string | undefined
    },
  ) {
    const { policy, key, id, deletes, amount, context } = op
    return store.transaction((tx) => {
      const options = context === undefined ? {} : { context }
      if (deletes) return replica.delete(tx, policy, key, options)
      switch (policy) {
        case 'customer':
          return replica.put(tx, policy, key, { name: id }, options)
        case 'cart':
          return replica.put(tx, policy, key, [id], options)
        case 'note':
          return replica.put(tx, policy, key, id, options)
        case 'stock':
          return replica.update(tx, policy, key, (state) =>
            upDownCounter.add(state ?? upDownCounter.empty, replica.id, amount),
          )
      }
    })
  }

  async #arrive({ to, message }: { to: Member; message: Sent }): Promise<void> {
    const site = this.#sites.get(to) as Site
    await (this.#options.receive ?? ((at, payload) => at.receive(payload)))(site, message.payload)
    this.#delivered++
    this.#model.deliver(to, message.record, message.known)
    if (this.#random() < 0.2) await this.#check(site, message.record)
  }

  /** Each pulls from each, twice, so that what came by the first round is passed on. */
  async #catchUp(): Promise<void> {
    for (let round = 1; round <= 2; round++) {
      for (const site of this.#sites.values()) {
        const peers = Object.fromEntries(
          [...this.#sites.values()].filter((peer) => peer !== site).map((peer) => [peer.id, peer.link]),
        )
        await using running = site.replica.start({ peers })
        for (const peer of Object.keys(peers)) await running.pull(peer)
      }
    }
    for (const policy of POLICIES) {
      for (let k = 0; k < KEYS; k++) {
        const record = `${policy}/k${k}`
        for (const to of MEMBERS) {
          for (const from of MEMBERS) this.#model.deliver(to, record, this.#model.known(from, record))
        }
      }
    }
  }

  async #check(site: Site, record: string): Promise<void> {
    const [policy, key] = record.split('/') as [Policy, string]
    const reads = await reading(site, policy, key)
    const wanted = expectedReading(
      policy,
      this.#model.standing(site.id, record),
      this.#model.known(site.id, record),
    )
    if (reads !== wanted) this.#findings.push(`${site.id} reads "${reads}" of ${record}, must be "${wanted}"`)
  }

  async #checkEnd(): Promise<void> {
    const dumps = new Map<Member, string>()
    for (const site of this.#sites.values()) {
      for (const policy of POLICIES) for (let k = 0; k < KEYS; k++) await this.#check(site, `${policy}/k${k}`)
      const rows = await site.store.read(
        'select collection, key, vector, siblings, dead from holdfast_replica_record order by collection, key',
      )
      dumps.set(site.id, JSON.stringify(rows.map((row) => ({ ...row, dead: Number(row.dead) }))))
    }
    if (new Set(dumps.values()).size > 1) this.#findings.push('the stores do not hold the same')
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)] as T
  }
}

async function reading({ store, replica }: Site, policy: Policy, key: string): Promise<string> {
  switch (policy) {
    case 'stock':
      return String(upDownCounter.total((await replica.get(store, policy, key)).value ?? upDownCounter.empty))
    case 'customer':
      return (await replica.get(store, policy, key)).value?.name ?? ''
    case 'cart':
      return (await replica.get(store, policy, key)).values.flat().sort().join(' ')
    case 'note':
      return ((await replica.get(store, policy, key)).value ?? '').split(' then ').sort().join(' ')
  }
}
