// A consumer in a process of its own: reports what its handler was given, in batches, to the parent.
import { SYSTEMS } from './systems.ts'

const [, , name, url] = process.argv
const system = SYSTEMS.find((s) => s.name === name)
if (system === undefined || url === undefined) throw new Error(`no system called ${name}`)

const open = await system.open(url, 'consumer')
let batch: [number, number][] = []
const consumer = await open.consume(({ n }) => {
  if (batch.push([n, performance.timeOrigin + performance.now()]) === 1) setTimeout(flush, 5)
})
process.send?.('ready')

process.on('message', async () => {
  await consumer.stop()
  flush()
  await open.close()
  process.disconnect()
  process.exit()
})

function flush(): void {
  if (batch.length > 0) process.send?.(batch)
  batch = []
}
