/** Controls other than the end of a line, some of which a terminal takes for commands, and marks that turn the direction of a text. */
const UNPRINTABLE = /(?!\n)[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\u{feff}]/gu

/** A text of the user's for a terminal or a page: what cannot be seen and may change what is seen stands there as `\u001b`. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) =>
    character === '\t' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** The same in one line, each run of blanks as one. */
export function oneLine(text: string): string {
  return printable(text.replace(/\s+/g, ' ').trim())
}
