/** The program of one site. Its parent tells it by IPC which one it is, what to do, and when it is cut off. */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { migrate } from 'holdfast'
import { storeQueue } from 'holdfast/store-queue'
import { allTables } from 'holdfast/tables'
import { faultyBroker } from 'holdfast/testing'
import { runAsChild } from '../process/program.ts'
import { FAULT_LEVELS, type FaultLevel } from '../shared/faults.ts'
import { openStore } from '../shared/store.ts'
import type { SiteDump } from './audit.ts'
import { gate } from './gate.ts'
import { startHoldfastSite } from './holdfast-site.ts'
import { type Done, dump, ENTRY_TABLE, type SiteParts } from './local-site.ts'
import { startNaiveSite } from './naive-site.ts'
import type { Operation, SiteName } from './operations.ts'
import type { Missing } from './without.ts'

export interface SiteConfig {
  readonly site: SiteName
  readonly mode: 'naive' | 'holdfast'
  readonly without: Missing | undefined
  readonly storePath: string
  readonly queuePath: string
  /** 0 for the first life, which says where it listens. */
  readonly port: number
  readonly faults: FaultLevel
  readonly seed: number
}

export type SiteOrder =
  | { readonly kind: 'peers'; readonly ports: Readonly<Record<string, number>> }
  | { readonly kind: 'network'; readonly cut: boolean }
  | { readonly kind: 'operation'; readonly operation: Operation }
  | { readonly kind: 'dump'; readonly number: number }

export type FromSite =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'answer'; readonly id: string; readonly done?: Done; readonly error?: string }
  | { readonly kind: 'dumped'; readonly number: number; readonly dump?: SiteDump }

/** Messages that are lost for good, so that only a pull brings what they told. */
const LOSE = { none: 0, default: 0.02, heavy: 0.06 } as const

runAsChild<SiteConfig, SiteOrder, FromSite>(async (siteConfig, parent) => {
  const { site, mode, without, faults, seed, ...config } = siteConfig
  let ports: Readonly<Record<string, number>> = {}
  parent.onOrder((order) => {
    if (order.kind === 'peers') ports = order.ports
  })
  const { store } = await openStore({ kind: 'sqlite', path: config.storePath })
  const queue = await openStore({ kind: 'sqlite', path: config.queuePath })
  await migrate(store, allTables)
  await migrate(queue.store, allTables)
  await store.execute(ENTRY_TABLE)
  const { duplicate, delay, delayMaxMs, reorder } = FAULT_LEVELS[faults]
  const network = gate(
    faultyBroker(storeQueue(queue.store, { partitions: 2, pollMaxMs: 30, source: site }), {
      duplicate,
      delay,
      delayMaxMs: delayMaxMs * 3,
      reorder,
      reorderWithin: 'all',
      lose: LOSE[faults],
      seed,
    }),
  )
  const parts: SiteParts = {
    site,
    store,
    broker: network.broker,
    async ask(peer, question) {
      if (network.isCut) throw new Error('cut off')
      const url = `http://127.0.0.1:${ports[peer] ?? 1}/`
      const response = await fetch(url, {
        method: 'POST',
        body: JSON.stringify(question),
        signal: AbortSignal.timeout(3_000),
      })
      if (!response.ok) throw new Error(`${peer} answered ${response.status}`)
      return response.json()
    },
  }
  const local = mode === 'naive' ? await startNaiveSite(parts) : await startHoldfastSite(parts, without)
  const server = createServer(async (request, response) => {
    try {
      if (network.isCut) throw new Error('cut off')
      const answer = await local.answer(JSON.parse(await textOf(request)))
      if (network.isCut) throw new Error('cut off')
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    } catch {
      response.writeHead(503).end()
    }
  })
  await new Promise<void>((resolve) => server.listen(config.port, '127.0.0.1', resolve))

  parent.onOrder((order) => {
    if (order.kind === 'network') order.cut ? network.cut() : network.heal()
    if (order.kind === 'operation') void operate(order.operation)
    if (order.kind === 'dump') {
      dump(site, store, local).then(
        (found) => parent.tell({ kind: 'dumped', number: order.number, dump: found }),
        () => parent.tell({ kind: 'dumped', number: order.number }),
      )
    }
  })
  parent.tell({ kind: 'ready', port: (server.address() as AddressInfo).port })

  async function operate(operation: Operation): Promise<void> {
    try {
      parent.tell({ kind: 'answer', id: operation.id, done: await local.operate(operation) })
    } catch (error) {
      parent.tell({ kind: 'answer', id: operation.id, error: (error as Error).message })
    }
  }

  return async () => {
    server.close()
    await local.stop()
    await network.broker.close()
    await Promise.all([store.close(), queue.close()])
  }
})

async function textOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) text += chunk
  return text
}
