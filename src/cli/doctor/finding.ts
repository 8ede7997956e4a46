/** One thing that `doctor` looked at. */
export interface Finding {
  /** Stable, for scripts: `synchronous-commit`. */
  readonly check: string
  /**
   * problem: Holdfast does not work, or does not keep its promises.
   * warning: it works, and this setting will hurt one day.
   */
  readonly level: 'ok' | 'note' | 'warning' | 'problem'
  /** What was seen. */
  readonly found: string
  /** What follows from it and what to do. Absent when all is well. */
  readonly advice?: string
}

export function ok(check: string, found: string): Finding {
  return { check, level: 'ok', found }
}

export function note(check: string, found: string, advice: string): Finding {
  return { check, level: 'note', found, advice }
}

export function warning(check: string, found: string, advice: string): Finding {
  return { check, level: 'warning', found, advice }
}

export function problem(check: string, found: string, advice: string): Finding {
  return { check, level: 'problem', found, advice }
}
