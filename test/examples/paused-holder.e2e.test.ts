/** The page on locks shows what this prints. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

it('the paused holder overwrites its successor without the guard, and is refused with it', async () => {
  const main = fileURLToPath(new URL('../../examples/paused-holder/main.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', main], { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0)
  expect(out).toContain(
    'alice was refused: STALE_FENCE, fencing token 1 of "report" is stale; 2 has been accepted',
  )
  expect(out).toContain('without the guard the report is by alice, with it by bob')
})
