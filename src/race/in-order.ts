export interface InOrder<Planned, Result> {
  /** How many may be under way at once. */
  readonly width: number
  /** The next one; undefined when there is none until more is learned, and for good when all was. `ahead`: how many are under way. */
  next(ahead: number): Planned | undefined
  run(planned: Planned): Promise<Result>
  /** Called in the order of `next`. True ends it: `rest`, which was planned after, is not learned. */
  learn(planned: Planned, result: Result, rest: readonly Planned[]): boolean
}

/** Runs several at once and learns what came of them in the order in which they were planned. */
export async function inOrder<Planned, Result>({
  width,
  next,
  run,
  learn,
}: InOrder<Planned, Result>): Promise<void> {
  const under: { readonly planned: Planned; readonly result: Promise<Result> }[] = []
  for (;;) {
    while (under.length < width) {
      const planned = next(under.length)
      if (planned === undefined) break
      const result = run(planned)
      // One that fails after the end was reached is nobody's concern any more.
      result.catch(() => {})
      under.push({ planned, result })
    }
    const first = under.shift()
    if (first === undefined) return
    const rest = (): Planned[] => under.map(({ planned }) => planned)
    if (learn(first.planned, await first.result, rest())) return
  }
}
