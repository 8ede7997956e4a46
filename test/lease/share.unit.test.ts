import fc from 'fast-check'
import { nextShare, type ShareView } from 'holdfast/lease'
import { describe, expect, it } from 'vitest'

/** `'a:12 b:3 -:4'` says that a holds 1 and 2, b holds 3, and 4 is free. Members are all but `-` and those in `dead`. */
function view(me: string, text: string, { dead = '', leaving = '' } = {}): ShareView {
  const parts = text.split(' ').map((part) => part.split(':') as [string, string])
  return {
    me,
    members: parts.map(([member]) => member).filter((member) => member !== '-' && !dead.includes(member)),
    names: parts.flatMap(([, names]) => [...names]).sort(),
    holders: new Map(
      parts.flatMap(([member, names]) =>
        member === '-' ? [] : [...names].map((name) => [name, member] as [string, string]),
      ),
    ),
    leaving: new Set(leaving),
  }
}

describe('nextShare', () => {
  const cases: [title: string, me: string, text: string, take: string, giveUp: string, more?: object][] = [
    ['alone, takes all that is free', 'a', 'a: -:1234', '1234', ''],
    ['alone, holds all, stays', 'a', 'a:1234', '', ''],
    ['two start together, the first takes the first half', 'a', 'a: b: -:1234', '12', ''],
    ['two start together, the second takes the second half', 'b', 'a: b: -:1234', '34', ''],
    ['an odd name goes to the first', 'a', 'a: b: -:123', '13', ''],
    ['an odd name goes to the first, not to the second', 'b', 'a: b: -:123', '2', ''],
    ['a joiner with nothing waits for the others', 'b', 'a:1234 b:', '', ''],
    ['who has too much gives up to a joiner', 'a', 'a:1234 b:', '', '34'],
    ['what is leaving already is not given up again', 'a', 'a:1234 b:', '', '', { leaving: '34' }],
    ['a balance that is one apart stays', 'a', 'a:123 b:45', '', ''],
    ['a balance that is one apart stays, whoever has more', 'b', 'a:12 b:345', '', ''],
    ['a joiner takes what is free and waits for the rest', 'c', 'a:123 b:45 c: -:6', '6', ''],
    ['of two that have the most, the first feeds a joiner that is short', 'a', 'a:123 b:456 c:7', '', '3'],
    ['and the second does not', 'b', 'a:123 b:456 c:7', '', ''],
    ['what a dead member still holds is neither free nor mine', 'a', 'a:12 b:34', '', '', { dead: 'b' }],
    ['more members than names: the first ones have one each', 'c', 'a: b: c: -:12', '', ''],
    ['more members than names: nobody gives up the only one', 'c', 'a: b:1 c:2', '', ''],
    ['a leader stays the leader when another joins', 'b', 'a: b:1', '', ''],
    ['a leader that is gone is followed by the first', 'a', 'a: b: -:1', '1', ''],
  ]
  for (const [title, me, text, take, giveUp, more] of cases) {
    it(title, () => {
      const step = nextShare(view(me, text, more))
      expect({ take: step.take.join(''), giveUp: step.giveUp.join('') }).toEqual({ take, giveUp })
    })
  }

  it('says that it waits only when another has to give up first', () => {
    expect(nextShare(view('b', 'a:1234 b:')).waiting).toBe(true)
    expect(nextShare(view('b', 'a:12 b:34')).waiting).toBe(false)
    expect(nextShare(view('c', 'a:1 b:2 c:')).waiting).toBe(false)
  })

  const members = fc.uniqueArray(fc.constantFrom(...'abcdefgh'), { minLength: 1, maxLength: 8 })
  const state = members.chain((live) =>
    fc.record({
      live: fc.constant(live),
      held: fc.array(fc.constantFrom(...live, 'dead', undefined), { minLength: 1, maxLength: 24 }),
    }),
  )
  type State = { live: string[]; holders: Map<string, string>; names: string[] }
  const make = ({ live, held }: { live: string[]; held: (string | undefined)[] }): State => ({
    live,
    names: held.map((_, i) => `n${String(i).padStart(2, '0')}`),
    holders: new Map(held.flatMap((h, i) => (h ? [[`n${String(i).padStart(2, '0')}`, h] as const] : []))),
  })
  const stepOf = (me: string, { live, names, holders }: State) =>
    nextShare({ me, members: live, names, holders, leaving: new Set() })
  const balanced = ({ live, names, holders }: State): boolean => {
    const counts = live.map((m) => [...holders.values()].filter((h) => h === m).length)
    return holders.size === names.length && Math.max(...counts) - Math.min(...counts) <= 1
  }

  it('members that decide at one moment never want the same name, and take only what is free', () => {
    fc.assert(
      fc.property(state, (given) => {
        const s = make(given)
        const taken = s.live.flatMap((me) => stepOf(me, s).take)
        expect(new Set(taken).size).toBe(taken.length)
        for (const name of taken) expect(s.holders.has(name)).toBe(false)
        for (const me of s.live) for (const name of stepOf(me, s).giveUp) expect(s.holders.get(name)).toBe(me)
      }),
    )
  })

  it('all at once or one after another, they come to a balance and then rest', () => {
    fc.assert(
      fc.property(state, fc.boolean(), (given, together) => {
        const s = make(given)
        for (const [name, holder] of s.holders) if (holder === 'dead') s.holders.delete(name)
        const apply = (me: string, step: ReturnType<typeof stepOf>): void => {
          for (const name of step.giveUp) s.holders.delete(name)
          for (const name of step.take) if (!s.holders.has(name)) s.holders.set(name, me)
        }
        let rounds = 0
        while (!balanced(s) && rounds++ < 6) {
          if (together)
            for (const [me, step] of s.live.map((me) => [me, stepOf(me, s)] as const)) apply(me, step)
          else for (const me of s.live) apply(me, stepOf(me, s))
        }
        expect(balanced(s)).toBe(true)
        for (const me of s.live) expect(stepOf(me, s)).toEqual({ take: [], giveUp: [], waiting: false })
      }),
    )
  })

  it('gives up no more than balance needs', () => {
    fc.assert(
      fc.property(state, (given) => {
        const s = make(given)
        const count = (m: string) => [...s.holders.values()].filter((h) => h === m).length
        const least = Math.floor(s.names.length / s.live.length)
        const given_up = s.live.reduce((sum, me) => sum + stepOf(me, s).giveUp.length, 0)
        const most = Math.ceil(s.names.length / s.live.length)
        const short = s.live.reduce((sum, m) => sum + Math.max(0, least - count(m)), 0)
        const over = s.live.reduce((sum, m) => sum + Math.max(0, count(m) - most), 0)
        expect(given_up).toBeLessThanOrEqual(Math.max(short, over))
      }),
    )
  })
})
