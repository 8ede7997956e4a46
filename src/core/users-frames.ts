import { fileURLToPath } from 'node:url'

/** A line of a stack that lies in a file of the user's. */
export interface UsersFrame {
  /** Without the blanks before it. */
  readonly text: string
  readonly file: string
  readonly line: number
}

/** This package. */
const OURS = fileURLToPath(new URL('..', import.meta.url))

/** The lines of a stack that are of the user's own files: not of Node, of a package, or of this one. The innermost first. */
export function usersFrames(stack: string): UsersFrame[] {
  return stack.split('\n').flatMap((text) => {
    const [, at = '', line] =
      /^\s*at (?:.*?\(|async )?((?:file:\/\/|\/|[A-Za-z]:[\\/])[^()]*):(\d+):\d+\)?$/.exec(text) ?? []
    const file = at.startsWith('file:') ? fileURLToPath(at) : at
    if (file === '' || file.startsWith(OURS) || /[\\/]node_modules[\\/]/.test(file)) return []
    return [{ text: text.trim(), file, line: Number(line) }]
  })
}
