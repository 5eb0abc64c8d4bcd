package cron_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime/cron"
)

// Ticks are where a clock on the wall shows them, which is looked at minute by
// minute, in zones whose clocks move by an hour, by half of one, at midnight, or
// by a day.
//
// Proves: FEATURES 63
func TestParse_TicksWhereClocksMove(t *testing.T) {
	type pattern struct {
		expr  string
		shows func(t time.Time) bool
	}
	patterns := []pattern{
		{"*/20 * * * *", func(t time.Time) bool { return t.Minute()%20 == 0 }},
		{"0 */2 * * *", func(t time.Time) bool { return t.Hour()%2 == 0 && t.Minute() == 0 }},
	}
	for _, hour := range []int{0, 1, 2, 3, 23} {
		for _, minute := range []int{0, 15, 45} {
			patterns = append(patterns, pattern{fmt.Sprintf("%d %d * * *", minute, hour), func(t time.Time) bool {
				return t.Hour() == hour && t.Minute() == minute
			}})
		}
	}
	compared := 0
	for _, around := range []string{
		"Europe/Vienna 2026-03-29", "Europe/Vienna 2026-10-25", "America/New_York 2026-03-08", "America/New_York 2026-11-01",
		"Australia/Lord_Howe 2026-04-05", "Australia/Lord_Howe 2026-10-04", "America/Sao_Paulo 2018-11-04",
		"America/Sao_Paulo 2018-02-18", "America/Havana 2026-11-01", "Pacific/Apia 2011-12-30",
	} {
		zone, day, _ := strings.Cut(around, " ")
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		from, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		from = from.AddDate(0, 0, -2)
		until := from.AddDate(0, 0, 5)
		for _, p := range patterns {
			s, err := cron.Parse("CRON_TZ=" + zone + " " + p.expr)
			if err != nil {
				t.Fatal(err)
			}
			var want, got []string
			for at := from.Add(time.Minute); at.Before(until); at = at.Add(time.Minute) {
				if p.shows(at.In(loc)) {
					want = append(want, at.In(loc).Format("02T15:04Z0700"))
				}
			}
			for at := s.Next(from); at.Before(until); at = s.Next(at) {
				got = append(got, at.In(loc).Format("02T15:04Z0700"))
				if len(got) > len(want) {
					break
				}
			}
			compared += len(want)
			if w, g := strings.Join(want, " "), strings.Join(got, " "); w != g {
				t.Errorf("%s %s:\nwant %s\n got %s", around, p.expr, w, g)
			}
		}
	}
	t.Logf("%d ticks are where the clock shows them", compared)
}
