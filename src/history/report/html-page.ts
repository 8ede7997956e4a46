import { escapeText } from './svg-text.ts'

export interface HtmlPage {
  readonly title: string
  /** Of the strip beside the verdict, as CSS. */
  readonly colour: string
  /** Rules beside those that every page has. */
  readonly style?: string
  /** HTML. */
  readonly body: string
}

/** A page that needs nothing from outside: no script, font, picture or style. */
export function htmlPage({ title, colour, style = '', body }: HtmlPage): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeText(title)}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 70rem; color: #111827; background: #fff }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; margin: 0 0 .5rem }
.verdict { border-left: .5rem solid ${colour}; padding: .5rem 1rem; background: #f9fafb; margin-bottom: 1rem }
.verdict b { color: ${colour}; font-size: 1.3rem }
dl { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: .5rem 0 0 }
dt { color: #6b7280; font-size: .85rem } dd { margin: 0; font-weight: 600 }
section { border-top: 1px solid #e5e7eb; padding: 1rem 0 }
h2 { font-size: 1.1rem; margin: 0 0 .25rem }
p { margin: .25rem 0 .75rem; overflow-wrap: anywhere; max-width: 60rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .9rem }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid #f3f4f6; vertical-align: top }
th { color: #6b7280; font-weight: 500 }
${style.trim()}
</style>
${body.trim()}
</html>
`
}

/** Names with their values, side by side. */
export function factsList(facts: readonly (readonly [name: string, value: string])[]): string {
  return `<dl>${facts.map(([name, value]) => `<div><dt>${escapeText(name)}</dt><dd>${escapeText(value)}</dd></div>`).join('')}</dl>`
}
