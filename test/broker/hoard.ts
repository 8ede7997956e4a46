/** A process that takes messages and keeps them, for the tests that kill it. */
import { openBroker } from './open-broker.ts'

const { url, topic, group, partition, prefetch } = JSON.parse(process.argv[2] ?? '{}')
const { broker } = await openBroker(url)
await broker.subscribe({ topic, group, partition, prefetch }, ({ message }) => {
  process.stdout.write(`${JSON.stringify({ id: message.id })}\n`)
})
