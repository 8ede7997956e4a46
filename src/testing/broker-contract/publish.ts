import type { Broker, Message } from '../../broker/index.ts'
import { sleep, WAIT_MS } from './wait.ts'

export async function publishAll(broker: Broker, batch: readonly Message[]): Promise<void> {
  const results = await broker.publish(batch, { signal: new AbortController().signal })
  const bad = results.find((r) => r.kind !== 'stored')
  if (results.length !== batch.length)
    throw new Error(`${results.length} results for ${batch.length} messages`)
  if (bad !== undefined) throw new Error(bad.kind, { cause: bad.error })
}

/** Publishes as a relay does: what is not stored is sent again, later messages of the key after it. */
export async function publishUntilStored(broker: Broker, batch: readonly Message[]): Promise<void> {
  const endMs = performance.now() + WAIT_MS
  let rest = batch
  while (rest.length > 0) {
    if (performance.now() > endMs) throw new Error(`gave up publishing: ${rest.length} are not stored`)
    const results = await broker
      .publish(rest, { signal: new AbortController().signal })
      .catch((error: unknown) => {
        if ((error as { outcome?: string }).outcome !== 'not-applied') throw error
        return undefined
      })
    if (results === undefined) await sleep(20)
    else rest = rest.filter((_, i) => results[i]?.kind !== 'stored')
  }
}
