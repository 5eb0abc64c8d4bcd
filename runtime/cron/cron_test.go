package cron_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/cron"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ExampleParse() {
	s, err := cron.Parse("CRON_TZ=Europe/Vienna 0 6 * * 1-5") // at six, Monday to Friday
	if err != nil {
		panic(err)
	}
	t := time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC) // a Friday
	for range 2 {
		t = s.Next(t)
		fmt.Println(t.UTC())
	}
	// Output:
	// 2026-03-30 04:00:00 +0000 UTC
	// 2026-03-31 04:00:00 +0000 UTC
}

var cleanupTask = glue.NewTask[struct{}, runtime.Void](wire.Spec{Name: "billing.Cleanup", Func: "Cleanup"}, nil)

func cleanupCall() runtime.Call[runtime.Void] { return cleanupTask.Call(nil, nil) }

func ExampleEvery() {
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{})
	glue.Register(app, cleanupTask, func(context.Context, *struct{}) (runtime.Void, error) {
		fmt.Println("clean up") // at every fifth minute, once however many processes there are
		return runtime.Void{}, nil
	})
	cron.Every(app, "*/5 * * * *", cleanupCall())
	cron.Every(app, "0 4 * * SUNDAY", cleanupCall(), runtime.EveryName("weekly"))
	fmt.Println(app.Start(context.Background()))
	// Output:
	// the app cannot start: schedule "weekly": cron expression "0 4 * * SUNDAY": failed to parse int from SUNDAY: strconv.Atoi: parsing "SUNDAY": invalid syntax
}

// Proves: FEATURES 63
func TestParse_Ticks(t *testing.T) {
	tests := []struct {
		expr, from string
		want       []string
	}{
		{"*/5 * * * *", "2026-01-01T00:02:30Z", []string{"2026-01-01T00:05:00Z", "2026-01-01T00:10:00Z"}},
		{"30 */5 * * * *", "2026-01-01T00:02:30Z", []string{"2026-01-01T00:05:30Z", "2026-01-01T00:10:30Z"}},
		{"0 0 29 2 *", "2026-01-01T00:00:00Z", []string{"2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"}},
		{"@daily", "2026-01-01T23:00:00-05:00", []string{"2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z"}},
		{"@every 90m", "2026-01-01T00:01:00Z", []string{"2026-01-01T01:30:00Z", "2026-01-01T03:00:00Z"}},
		{"CRON_TZ=America/New_York 0 9 * * *", "2026-01-01T00:00:00Z", []string{"2026-01-01T14:00:00Z", "2026-01-02T14:00:00Z"}},
		// Clocks are put forward from 2:00 to 3:00 on March 29, and back from 3:00
		// to 2:00 on October 25.
		{"CRON_TZ=Europe/Vienna 30 2 * * *", "2026-03-28T00:00:00Z", []string{"2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"}},
		{"CRON_TZ=Europe/Vienna 30 2 * * *", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"}},
	}
	for _, tt := range tests {
		s, err := cron.Parse(tt.expr)
		if err != nil {
			t.Error(err)
			continue
		}
		at, err := time.Parse(time.RFC3339, tt.from)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for range tt.want {
			at = s.Next(at)
			got = append(got, at.UTC().Format(time.RFC3339))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s from %s: %q, want %q", tt.expr, tt.from, got, tt.want)
		}
	}
}

func TestParse_WrongExpressions(t *testing.T) {
	for _, expr := range []string{
		"", "* * * *", "* * * * * * *", "61 * * * *", "* * * * 9", "a b c d e", "@reboot", "@every", "@every 0s", "@every -5m",
		"CRON_TZ=Nowhere/City * * * * *", "CRON_TZ=UTC", "TZ=", "0 0 30 2 *", "*/0 * * * *",
	} {
		if s, err := cron.Parse(expr); err == nil {
			if v, ok := s.(wire.Validator); !ok || v.Validate() == nil {
				t.Errorf("%q is a schedule: next is %s", expr, s.Next(time.Now()))
			}
		} else if !strings.Contains(err.Error(), fmt.Sprintf("%q", expr)) {
			t.Errorf("the error does not show %q: %v", expr, err)
		}
	}
}

// Proves: FEATURES 63
func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := memory.New(memory.Config{})
		defer engine.Close()
		begin := time.Now()
		var ran []time.Duration
		for range 3 { // processes
			app := runtime.New(engine, runtime.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
			glue.Register(app, cleanupTask, func(context.Context, *struct{}) (runtime.Void, error) {
				ran = append(ran, time.Since(begin))
				return runtime.Void{}, nil
			})
			cron.Every(app, "15,45 * * * *", cleanupCall())
			if err := app.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer app.Stop(t.Context())
		}
		time.Sleep(80 * time.Minute)
		synctest.Wait()
		if want := []time.Duration{15 * time.Minute, 45 * time.Minute, 75 * time.Minute}; !slices.Equal(ran, want) {
			t.Errorf("ran at %s, want %s", ran, want)
		}
	})
}
