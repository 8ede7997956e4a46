import { describe, expect, it } from 'vitest'
import { Silences } from '../../src/outbox/silences.ts'

const rows = (...ids: string[]) => ids.map((message_id) => ({ message_id }))

describe('silences', () => {
  it('halve the batch until the message at fault is alone, and let it grow again', () => {
    const silences = new Silences()
    const batch = rows('a', 'b', 'c', 'd', 'e')
    expect(silences.limit(batch)).toEqual(batch)
    expect(silences.met({ id: 'a', tried: 5, relayed: 0 })).toBe('pause')
    expect(silences.limit(batch)).toEqual(rows('a', 'b'))
    expect(silences.met({ id: 'a', tried: 2, relayed: 0 })).toBe('pause')
    expect(silences.limit(batch)).toEqual(rows('a'))
    silences.answered(rows('a'))
    expect(silences.count).toBe(0)
    expect(silences.limit(rows('b', 'c', 'd'))).toEqual(rows('b', 'c'))
    for (let i = 0; i < 20; i++) silences.answered(rows('b'))
    expect(silences.limit(batch)).toEqual(batch)
  })

  it('a suspect goes alone from then on', () => {
    const silences = new Silences()
    silences.met({ id: 'bad', tried: 1, relayed: 0 })
    for (let i = 0; i < 20; i++) silences.answered(rows('x'))
    expect(silences.limit(rows('a', 'b', 'bad', 'c'))).toEqual(rows('a', 'b'))
    expect(silences.limit(rows('bad', 'c'))).toEqual(rows('bad'))
    silences.answered(rows('bad'))
    expect(silences.limit(rows('bad', 'c'))).toEqual(rows('bad', 'c'))
  })

  it('nothing counts while nothing else is handed over, however long that lasts', () => {
    const silences = new Silences()
    for (let i = 0; i < 1_000; i++)
      expect(silences.met({ id: `m${i % 3}`, tried: 1, relayed: 7 })).toBe('avoid')
  })

  it('counts when others were handed over between two silences of a suspect', () => {
    const silences = new Silences()
    const verdicts = [1, 2, 3, 3, 4].map((relayed) => silences.met({ id: 'bad', tried: 1, relayed }))
    expect(verdicts).toEqual(['avoid', 'avoid', 'count', 'avoid', 'count'])
  })
})
