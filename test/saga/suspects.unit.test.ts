import { describe, expect, it } from 'vitest'
import type { Entry, EntryKind } from '../../src/saga/entry.ts'
import { isSuspect, takeOneSuspect } from '../../src/saga/suspects.ts'

const history = (...kinds: EntryKind[]) => kinds.map((kind, seq) => ({ kind, seq }) as Entry)

describe('a suspect', () => {
  it.each([
    [false, [], true],
    [false, ['step'], true],
    [false, ['interrupted'], true],
    [false, ['interrupted', 'interrupted', 'step'], true],
    [false, ['interrupted', 'step', 'interrupted'], true],
    [true, ['step', 'interrupted', 'interrupted'], true],
    [true, ['interrupted', 'interrupted', 'interrupted'], true],
    // Laid down in good order since.
    [false, ['interrupted', 'interrupted'], false],
  ] as const)('%s: after %j, in hand when its process went away: %s', (expected, kinds, isHeld) => {
    expect(isSuspect(isHeld, history(...kinds))).toBe(expected)
  })

  it('is taken alone among suspects, beside everybody else, and not where one is running', () => {
    const list = ['a', 'B', 'c', 'D'].map((id) => ({ id, suspect: id < 'a' }))
    const ids = ({ taken, putOff }: ReturnType<typeof takeOneSuspect<(typeof list)[number]>>) => [
      taken.map(({ id }) => id).join(''),
      putOff.map(({ id }) => id).join(''),
    ]
    expect(ids(takeOneSuspect(list, true))).toEqual(['aBc', 'D'])
    expect(ids(takeOneSuspect(list, false))).toEqual(['ac', 'BD'])
  })
})
