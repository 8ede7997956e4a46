import { expect, it } from 'vitest'
import { drawAnomaly } from '../../../src/history/report/draw-anomaly.ts'
import { checkTransactions, parseText } from '../../../src/history/transactions/index.ts'

it('an anomaly is drawn as one SVG that needs nothing else', () => {
  const h = parseText('r <x> nil\nw <y> 1\n=\nr <y> nil\nw <x> 1')
  const [anomaly] = checkTransactions(h, { model: 'rw-register' }).anomalies
  const svg = drawAnomaly(anomaly as NonNullable<typeof anomaly>)
  expect(svg.match(/<rect /g)?.length).toBe(2)
  expect(svg.match(/<path d="M\d/g)?.length).toBeGreaterThanOrEqual(2)
  expect(svg).toContain('rw &lt;x&gt; = 1')
  expect(svg).toContain('session 0')
  expect(svg).not.toMatch(/<x>|href|<script|@import|url\((?!#)/)
})
