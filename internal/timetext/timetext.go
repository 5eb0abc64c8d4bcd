// Package timetext reads times as people write them.
package timetext

import (
	"fmt"
	"strings"
	"time"
)

// layouts are those of times; without a zone they are in UTC.
var layouts = []string{
	time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly,
}

// Parse reads a time, or a duration such as 30m, 2h or 7d, which is so long before
// now. An empty text is the zero time.
func Parse(s string, now time.Time) (time.Time, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	text, ago := s, time.Duration(0)
	if days, rest, ok := strings.Cut(s, "d"); ok { // time.ParseDuration knows no days
		d, err := time.ParseDuration(days + "h")
		if err != nil {
			return time.Time{}, unreadable(s)
		}
		if ago, text = 24*d, rest; text == "" {
			return now.Add(-ago), nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return time.Time{}, unreadable(s)
	}
	return now.Add(-ago - d), nil
}

func unreadable(s string) error {
	return fmt.Errorf("%.100q is neither a time, such as 2006-01-02T15:04:05Z, nor a duration, such as 30m, 2h or 7d", s)
}
