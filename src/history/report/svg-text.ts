import { printable } from '../../core/printable.ts'

/** A text as the content of an element or of a quoted attribute, in SVG and HTML. */
export function escapeText(text: string): string {
  return printable(text)
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;')
}

/** At most `length` characters, with an ellipsis where some were left out. */
export function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text
}
