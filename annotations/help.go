package annotations

import (
	"fmt"
	"strings"
)

// Help returns the grammar of the verb, or of all if it is empty, as text. It is
// empty for an unknown verb.
func Help(verb string) string {
	var b strings.Builder
	for _, d := range registry {
		if verb != "" && d.Verb != verb {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "//task:%s", d.Verb)
		if len(d.Words) > 0 {
			fmt.Fprintf(&b, " %s", strings.Join(d.Words, "|"))
		}
		for _, f := range d.Flags {
			fmt.Fprintf(&b, " [%s]", f.Name)
		}
		if len(d.Keys) > 0 {
			b.WriteString(" [key=value ...]")
		}
		fmt.Fprintf(&b, "    above %s\n\n", d.On)
		for line := range strings.SplitSeq(d.Help, "\n") {
			b.WriteString(strings.TrimRight("  "+line, " ") + "\n")
		}
		if len(d.Keys) > 0 {
			b.WriteString("\n")
		}
		for _, f := range d.Flags {
			fmt.Fprintf(&b, "  %-20s %s\n", f.Name, indented(f.Help))
		}
		for _, k := range d.Keys {
			fmt.Fprintf(&b, "  %-20s %s", k.Name+"="+string(k.Kind), indented(k.Help))
			if k.Default != "" {
				fmt.Fprintf(&b, " (default %s)", k.Default)
			}
			if k.Repeat {
				b.WriteString("; repeatable")
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// indented puts the lines of a text below each other, behind the names.
func indented(help string) string {
	return strings.ReplaceAll(help, "\n", "\n"+strings.Repeat(" ", 23))
}
