import { Child, programOf } from '../process/child.ts'
import type { SiteDump } from './audit.ts'
import type { Done } from './local-site.ts'
import { type Operation, SITES, type SiteName } from './operations.ts'
import type { FromSite, SiteConfig, SiteOrder } from './site.ts'

const PROGRAM = programOf(import.meta.url, './site')
const STOP_MS = 5_000

export type Outcome =
  | { readonly kind: 'done'; readonly done: Done }
  | { readonly kind: 'failed'; readonly error: string }
  /** The site was killed: the customer never hears. */
  | { readonly kind: 'unanswered' }

interface Life {
  readonly child: Child<SiteConfig, SiteOrder, FromSite>
  readonly inHand: Map<string, (outcome: Outcome) => void>
  readonly dumps: Map<number, (dump: SiteDump | undefined) => void>
}

/** The three site processes: started, killed, started again, and cut off from one another. */
export class Sites {
  readonly #config: (site: SiteName, port: number) => SiteConfig
  readonly #lives = new Map<SiteName, Life>()
  readonly #ports: Record<string, number> = {}
  readonly #cut = new Set<SiteName>()
  #stopping = false
  #dumps = 0
  kills = 0
  /** Never fulfils; rejects when a site ends by itself. */
  readonly failed: Promise<never>
  #fail!: (error: Error) => void

  constructor(config: (site: SiteName, port: number) => SiteConfig) {
    this.#config = config
    this.failed = new Promise((_, reject) => {
      this.#fail = reject
    })
    this.failed.catch(() => {})
  }

  async start(): Promise<void> {
    for (const site of SITES) await Promise.race([this.#start(site), this.failed])
  }

  isUp(site: SiteName): boolean {
    return this.#lives.get(site)?.child.isReady === true
  }

  operate(site: SiteName, operation: Operation): Promise<Outcome> {
    const life = this.#lives.get(site)
    if (life === undefined || !life.child.isReady) return Promise.resolve({ kind: 'failed', error: 'down' })
    return new Promise((resolve) => {
      life.inHand.set(operation.id, resolve)
      life.child.send({ kind: 'operation', operation })
    })
  }

  /** SIGKILL; the next life begins `awayMs` later. */
  kill(site: SiteName, awayMs: number): void {
    const life = this.#lives.get(site)
    if (life === undefined || !life.child.isReady) return
    this.kills += 1
    life.child.kill()
    setTimeout(() => {
      if (!this.#stopping) void this.#start(site).catch(() => {})
    }, awayMs)
  }

  cut(sites: readonly SiteName[]): void {
    this.#cut.clear()
    for (const site of sites) this.#cut.add(site)
    for (const [site, { child }] of this.#lives) child.send({ kind: 'network', cut: this.#cut.has(site) })
  }

  /** What each site holds; undefined while one of them cannot say. */
  async dump(): Promise<readonly SiteDump[] | undefined> {
    const number = ++this.#dumps
    const dumps = await Promise.all(
      SITES.map((site) => {
        const life = this.#lives.get(site)
        if (life === undefined || !life.child.isReady) return undefined
        return new Promise<SiteDump | undefined>((resolve) => {
          life.dumps.set(number, resolve)
          life.child.send({ kind: 'dump', number })
        })
      }),
    )
    return dumps.every((dump) => dump !== undefined) ? (dumps as SiteDump[]) : undefined
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all([...this.#lives.values()].map(({ child }) => child.stop(STOP_MS)))
  }

  /** Fulfils when it is ready. */
  #start(site: SiteName): Promise<void> {
    const life: Life = { child: new Child(PROGRAM, this.#fail), inHand: new Map(), dumps: new Map() }
    this.#lives.set(site, life)
    return new Promise((resolve) => {
      life.child.start({
        name: site,
        config: this.#config(site, this.#ports[site] ?? 0),
        onMessage: (message) => {
          if (message.kind === 'answer') {
            const { id, done, error = '' } = message
            life.inHand.get(id)?.(done === undefined ? { kind: 'failed', error } : { kind: 'done', done })
            life.inHand.delete(id)
          } else if (message.kind === 'dumped') {
            life.dumps.get(message.number)?.(message.dump)
            life.dumps.delete(message.number)
          } else {
            this.#introduce(site, life, message.port)
            resolve()
          }
        },
        onEnd: () => {
          for (const answer of life.inHand.values()) answer({ kind: 'unanswered' })
          for (const answer of life.dumps.values()) answer(undefined)
        },
      })
    })
  }

  /** Tells a site that is ready how the network is, and all of them where they listen. */
  #introduce(site: SiteName, { child }: Life, port: number): void {
    this.#ports[site] = port
    if (this.#cut.has(site)) child.send({ kind: 'network', cut: true })
    for (const other of this.#lives.values()) other.child.send({ kind: 'peers', ports: this.#ports })
  }
}
