import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const read = (file: string): string =>
  readFileSync(fileURLToPath(new URL(`../../${file}`, import.meta.url)), 'utf8')

it('compose.yaml publishes, on this machine alone, the ports of the addresses that `services --docker` prints', () => {
  const published = [...read('compose.yaml').matchAll(/^ {2}(\w+):\n(?: {4}.*\n)*? {4}ports: \['(.*)'\]$/gm)]
  const printed = [
    ...read('scripts/services.ts').matchAll(/^ {2}([A-Z]+): '[^']*127\.0\.0\.1:(\d+)[^']*',$/gm),
  ]
  expect(printed.length).toBe(6)
  expect(published.map(([, name, ports]) => [name?.toUpperCase(), ports])).toEqual(
    printed.map(([, name, port]) => [name, `127.0.0.1:${port}:${port}`]),
  )
})
