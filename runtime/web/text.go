package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// How many bytes of a text a page shows. The API has all of it.
const (
	maxName   = 200
	maxReason = 4 << 10
	maxLine   = 300
	maxData   = 16 << 10
)

// clean returns at most limit bytes of a text as one line: what a browser would
// act on or not show, such as marks of direction and control characters, is
// written as JSON does. How much is missing is said at the end.
func clean(s string, limit int) string { return escape(s, limit, "") }

// cleanLines is clean for a reason or a text like it, which may have several lines.
func cleanLines(s string) string {
	return escape(strings.ReplaceAll(s, "\r\n", "\n"), maxReason, "\n\t")
}

func escape(s string, limit int, keep string) string {
	cut := 0
	if len(s) > limit {
		end := limit
		for end > 0 && end > limit-utf8.UTFMax && !utf8.RuneStart(s[end]) {
			end--
		}
		cut, s = len(s)-end, s[:end]
	}
	from, b := 0, []byte(nil)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size <= 1 || !strconv.IsPrint(r) && !strings.ContainsRune(keep, r) {
			b = append(b, s[from:i]...)
			for _, unit := range utf16.AppendRune(nil, r) {
				b = fmt.Appendf(b, `\u%04x`, unit)
			}
			from = i + size
		}
		i += size
	}
	if b != nil {
		s = string(append(b, s[from:]...))
	}
	if cut > 0 {
		s += fmt.Sprintf(" … (%s more bytes)", number(int64(cut)))
	}
	return s
}

// firstLine is the first line of a text that is not empty.
func firstLine(s string) string {
	s = strings.TrimLeft(s, "\r\n\t ")
	if i := strings.IndexAny(s, "\r\n"); i >= 0 {
		return s[:i]
	}
	return s
}

// number writes a number with commas between thousands.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// many writes a number and a noun.
func many(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}

// span writes a duration in at most two units, for people.
func span(d time.Duration) string {
	if d < 0 {
		d = -d
	}
	switch {
	case d == 0:
		return "0 s"
	case d < time.Millisecond:
		return strconv.FormatInt(max(d.Microseconds(), 1), 10) + " µs"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
	}
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for i, u := range units {
		if d < u.size {
			continue
		}
		first := d / u.size
		text := fmt.Sprintf("%s %s", number(int64(first)), u.name)
		if i+1 < len(units) && first < 10 && u.size > time.Minute || u.size == time.Minute && first < 5 {
			if rest := (d % u.size) / units[i+1].size; rest > 0 {
				text += fmt.Sprintf(" %d %s", rest, units[i+1].name)
			}
		}
		return text
	}
	return d.String()
}

// moment is a time as pages show it.
type moment struct {
	ISO  string // for machines
	Full string // in UTC, for people
	Rel  string // against now
}

func (m moment) Zero() bool { return m.ISO == "" }

// at returns a time against now. A time that RFC 3339 cannot write counts as
// none.
func at(t, now time.Time) moment {
	if t.IsZero() || t.UTC().Year() < 1 || t.UTC().Year() > 9999 {
		return moment{}
	}
	t = t.UTC()
	m := moment{ISO: t.Format(time.RFC3339Nano), Full: t.Format("2006-01-02 15:04:05.000 UTC")}
	switch d := now.Sub(t); {
	case d < -time.Second:
		m.Rel = "in " + span(coarse(-d))
	case d < time.Second:
		m.Rel = "just now"
	default:
		m.Rel = span(coarse(d)) + " ago"
	}
	return m
}

// coarse truncates a time to seconds, and one over ten minutes to minutes.
func coarse(d time.Duration) time.Duration {
	switch {
	case d > 10*time.Minute:
		return d.Truncate(time.Minute)
	default:
		return d.Truncate(time.Second)
	}
}
