/**
 * One measurement in a process of its own, so that its peak of memory is its own: reads a JSON lines file of
 * transactions and checks it. Arguments: FILE LEVEL. Prints one JSON object.
 */
import { openSync, readSync } from 'node:fs'
import { checkTransactions, JsonLinesScanner, type Level } from 'holdfast/history'

const [file, level] = process.argv.slice(2) as [string, Level]
const startMs = performance.now()
const scanner = new JsonLinesScanner('rw-register')
const fd = openSync(file, 'r')
const buffer = new Uint8Array(1 << 20)
for (;;) {
  const bytes = readSync(fd, buffer, 0, buffer.length, null)
  if (bytes === 0) break
  scanner.push(buffer.subarray(0, bytes))
}
const history = scanner.finish()
const readMs = performance.now() - startMs
const { verdict, reason } = checkTransactions(history, { model: 'rw-register', level })
if (verdict !== 'valid') throw new Error(`expected a valid history, got ${verdict}: ${reason}`)
console.log(
  JSON.stringify({
    seconds: (performance.now() - startMs) / 1000,
    readSeconds: readMs / 1000,
    mb: process.resourceUsage().maxRSS / 1024,
  }),
)
