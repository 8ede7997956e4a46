/** The site on `holdfast/replica`. */
import { upDownCounter } from 'holdfast/causality'
import { collection, createReplica, type Found, type PeerLink, type Version } from 'holdfast/replica'
import { type LocalSite, type SiteParts, writeDown } from './local-site.ts'
import {
  type CollectionName,
  KEYS,
  type Operation,
  type Reading,
  SITES,
  type SiteName,
} from './operations.ts'
import { type Missing, spoilBroker, spoilLink } from './without.ts'

interface Named {
  readonly id: string
}

const COLLECTIONS = {
  dish: collection<Named>({ merge: 'last-writer-wins' }),
  cart: collection<Named>({ merge: 'multi-value' }),
  likes: { merge: upDownCounter },
}

const CONFIRM_MS = 1_500

export async function startHoldfastSite(parts: SiteParts, without: Missing | undefined): Promise<LocalSite> {
  const { site, store } = parts
  const replica = createReplica(store, { id: site, members: SITES, collections: COLLECTIONS })
  const link = (peer: SiteName): PeerLink =>
    spoilLink({ ask: (question) => parts.ask(peer, question) }, without)
  const peers = Object.fromEntries(SITES.filter((peer) => peer !== site).map((peer) => [peer, link(peer)]))
  const running = replica.start({
    broker: spoilBroker(parts.broker, without),
    ...(without === 'pulls' ? {} : { peers }),
    pullEveryMs: 700,
    pulseEveryMs: 500,
    ttlMs: 1_500,
  })

  return {
    async operate(operation) {
      const change = await store.transaction((tx) => perform(tx, operation))
      const { staleMs } = await replica.staleness()
      if (!operation.confirm || change === undefined) return { confirmed: false, staleMs }
      const confirmed = await replica.confirmed(change, { writtenBy: 2, timeoutMs: CONFIRM_MS }).then(
        () => true,
        () => false,
      )
      return { confirmed, staleMs }
    },
    async readings() {
      const readings: Reading[] = []
      for (const name of ['dish', 'cart', 'likes'] as const) {
        for (let k = 0; k < KEYS; k++) readings.push(await read(name, `${name}-${k}`))
      }
      return readings
    },
    async inConflicts() {
      const conflicts = await replica.conflicts({ limit: 100_000 })
      return conflicts.flatMap(({ sides }) =>
        sides.map(({ value }) => (value as Named | undefined)?.id ?? ''),
      )
    },
    answer: (question) => replica.answer(question),
    stop: () => running.stop({ drainMs: 1_000 }),
  }

  async function perform(tx: Parameters<typeof writeDown>[0], operation: Operation) {
    const { id, kind, collection: name, key, confirm } = operation
    if (name === 'likes') {
      await writeDown(tx, operation, { wrote: id, saw: [] })
      return replica.update(
        tx,
        name,
        key,
        (state) => upDownCounter.add(state ?? upDownCounter.empty, site, 1),
        {
          confirm,
        },
      )
    }
    const saw = (await replica.get(tx, name, key)).versions.map(nameOf)
    const change =
      kind === 'delete'
        ? await replica.delete(tx, name, key, { confirm })
        : await replica.put(tx, name, key, { id }, { confirm })
    if (change === undefined) return undefined // nothing to delete
    await writeDown(tx, operation, { wrote: id, saw })
    return change
  }

  async function read(name: CollectionName, key: string): Promise<Reading> {
    if (name === 'likes') {
      const { value } = await replica.get(store, name, key)
      return {
        collection: name,
        key,
        versions: [],
        total: Number(upDownCounter.total(value ?? upDownCounter.empty)),
      }
    }
    const { values }: Found<Named> = await replica.get(store, name, key)
    return { collection: name, key, versions: values.map(({ id }) => id), total: 0 }
  }
}

function nameOf({ value, replica, count }: Version<Named>): string {
  return value?.id ?? `${replica}:${count}`
}
