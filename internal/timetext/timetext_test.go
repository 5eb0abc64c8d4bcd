package timetext_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/timetext"
)

func TestParse(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                          {},
		" 30m ":                     now.Add(-30 * time.Minute),
		"2h":                        now.Add(-2 * time.Hour),
		"7d":                        now.AddDate(0, 0, -7),
		"1d12h":                     now.Add(-36 * time.Hour),
		"1.5d":                      now.Add(-36 * time.Hour),
		"2026-11-28":                time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC),
		"2026-11-28T03:04":          time.Date(2026, 11, 28, 3, 4, 0, 0, time.UTC),
		"2026-11-28 03:04:05":       time.Date(2026, 11, 28, 3, 4, 5, 0, time.UTC),
		"2026-11-28T03:04:05+01:00": time.Date(2026, 11, 28, 2, 4, 5, 0, time.UTC),
	} {
		got, err := timetext.Parse(text, now)
		require.NoError(t, err, text)
		assert.True(t, want.Equal(got), "%q is %v, want %v", text, got, want)
	}
	for _, text := range []string{"yesterday", "d", "xd", "7dd", "12", "2026-13-01", "1d yesterday"} {
		_, err := timetext.Parse(text, now)
		assert.Error(t, err, text)
	}
}
