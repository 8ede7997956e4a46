import type { BrokerSetup } from '../../src/testing/broker-contract.ts'
import { startFixture } from '../support/process.ts'

/** Runs hoard.ts until it holds `count` messages, then kills it with SIGKILL. */
export function hoarder(url: string): NonNullable<BrokerSetup['hoard']> {
  return async ({ topic, group, partition, count }) => {
    const child = startFixture<{ id: string }>(new URL('./hoard.ts', import.meta.url), {
      args: [JSON.stringify({ url, topic, group, partition, prefetch: count })],
    })
    await child.line(() => child.lines.length >= count, { deadlineMs: 15_000, what: 'the hoard' })
    await child.kill('SIGKILL')
    return { held: child.lines.map((line) => line.id) }
  }
}
