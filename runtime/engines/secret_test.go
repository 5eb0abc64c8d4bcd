package engines_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engines"
)

// TestOpen_ErrorsShowNoPassword: whatever is wrong with a URL, and wherever a parser
// cuts a password that is not escaped.
func TestOpen_ErrorsShowNoPassword(t *testing.T) {
	const secret = "S3cret"
	for _, url := range []string{
		"redis://user:S3cret%zz@127.0.0.1:1/0",
		"redis://user:S3cret S3cret@127.0.0.1:1/0",
		"redis://user:S3cret#S3cret@127.0.0.1:1/0",
		"redis://user:S3cret?S3cret@127.0.0.1:1/0",
		"redis://user:S3cret/S3cret@127.0.0.1:1/0",
		"redis://user:1?S3cret@127.0.0.1:1/0",
		"redis://user:1/S3cret@127.0.0.1:1/0",
		"redis://user:1#S3cret@127.0.0.1:1/0",
		"redis://user:S3cret@127.0.0.1:port/0",
		"redis://user:S3cret@127.0.0.1:1/S3cret",
		"redis://user:S3cret@127.0.0.1:1/0?S3cret=1",
		"rediss://:S3cret@[::1/0",
		"postgres://user:S3cret%zz@127.0.0.1:1/db",
		"postgres://user:S3cret#S3cret@127.0.0.1:1/db",
		"postgres://user:1?S3cret@127.0.0.1:1/db",
		"postgres://user:S3cret/S3cret@127.0.0.1:1/db",
		"postgres://user:S3cret@127.0.0.1:port/db",
		"mysql://user:S3cret@127.0.0.1/db",
		"mysql://user:S3cret#@127.0.0.1/db",
		"host=127.0.0.1 user=u password=S3cret dbname=db",
		"host=127.0.0.1 password=S3cret:S3cret",
		"password=S3cret",
		"user:S3cret@127.0.0.1",
		"S3cret@host",
	} {
		t.Run(url, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := engines.Open(ctx, url)
			require.Error(t, err)
			assert.NotContains(t, err.Error(), secret)
		})
	}
}
