import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { SiteDump } from './audit.ts'
import type { Done } from './local-site.ts'
import { type Operation, SITES, type SiteName } from './operations.ts'
import type { FromSite, SiteConfig, ToSite } from './site.ts'

const PROGRAM = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './site.ts' : './site.js', import.meta.url),
)
const START_MS = 30_000
const STOP_MS = 5_000

const children = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

export type Outcome =
  | { readonly kind: 'done'; readonly done: Done }
  | { readonly kind: 'failed'; readonly error: string }
  /** The site was killed: the customer never hears. */
  | { readonly kind: 'unanswered' }

interface Life {
  readonly child: ChildProcess
  readonly inHand: Map<string, (outcome: Outcome) => void>
  readonly dumps: Map<number, (dump: SiteDump | undefined) => void>
  ready: boolean
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
    return this.#lives.get(site)?.ready === true
  }

  operate(site: SiteName, operation: Operation): Promise<Outcome> {
    const life = this.#lives.get(site)
    if (life === undefined || !life.ready) return Promise.resolve({ kind: 'failed', error: 'down' })
    return new Promise((resolve) => {
      life.inHand.set(operation.id, resolve)
      send(life.child, { kind: 'operation', operation })
    })
  }

  /** SIGKILL; the next life begins `awayMs` later. */
  kill(site: SiteName, awayMs: number): void {
    const life = this.#lives.get(site)
    if (life === undefined || !life.ready) return
    this.kills += 1
    life.child.kill('SIGKILL')
    setTimeout(() => {
      if (!this.#stopping) void this.#start(site).catch(() => {})
    }, awayMs)
  }

  cut(sites: readonly SiteName[]): void {
    this.#cut.clear()
    for (const site of sites) this.#cut.add(site)
    for (const [site, { child }] of this.#lives) send(child, { kind: 'network', cut: this.#cut.has(site) })
  }

  /** What each site holds; undefined while one of them cannot say. */
  async dump(): Promise<readonly SiteDump[] | undefined> {
    const number = ++this.#dumps
    const dumps = await Promise.all(
      SITES.map((site) => {
        const life = this.#lives.get(site)
        if (life === undefined || !life.ready) return undefined
        return new Promise<SiteDump | undefined>((resolve) => {
          life.dumps.set(number, resolve)
          send(life.child, { kind: 'dump', number })
        })
      }),
    )
    return dumps.every((dump) => dump !== undefined) ? (dumps as SiteDump[]) : undefined
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(
      [...this.#lives.values()].map(async ({ child }) => {
        if (child.exitCode !== null || child.signalCode !== null) return
        const exited = new Promise((resolve) => child.once('close', resolve))
        const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
        send(child, { kind: 'stop' })
        await exited
        clearTimeout(timer)
      }),
    )
  }

  #start(site: SiteName): Promise<void> {
    const child = fork(PROGRAM, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    children.add(child)
    const life: Life = { child, inHand: new Map(), dumps: new Map(), ready: false }
    this.#lives.set(site, life)
    let stderr = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-4_000)
    })
    const late = setTimeout(() => this.#fail(new Error(`${site} did not start\n${stderr}`)), START_MS)
    const ready = new Promise<void>((resolve) => {
      child.on('message', (message: FromSite) => {
        if (message.kind === 'answer') {
          const { id, done, error = '' } = message
          life.inHand.get(id)?.(done === undefined ? { kind: 'failed', error } : { kind: 'done', done })
          life.inHand.delete(id)
        } else if (message.kind === 'dumped') {
          life.dumps.get(message.number)?.(message.dump)
          life.dumps.delete(message.number)
        } else {
          clearTimeout(late)
          life.ready = true
          this.#ports[site] = message.port
          if (this.#cut.has(site)) send(child, { kind: 'network', cut: true })
          for (const other of this.#lives.values()) send(other.child, { kind: 'peers', ports: this.#ports })
          resolve()
        }
      })
    })
    child.once('close', (code, signal) => {
      clearTimeout(late)
      children.delete(child)
      life.ready = false
      for (const resolve of life.inHand.values()) resolve({ kind: 'unanswered' })
      for (const resolve of life.dumps.values()) resolve(undefined)
      if (!this.#stopping && signal !== 'SIGKILL')
        this.#fail(new Error(`${site} ended by itself (${code ?? signal})\n${stderr}`))
    })
    send(child, { kind: 'start', config: this.#config(site, this.#ports[site] ?? 0) })
    return ready
  }
}

function send(child: ChildProcess, message: ToSite): void {
  if (child.connected) child.send(message, () => {})
}
