package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/taskctx/taskctx/runtime/engine"
)

// settings are what a server says of a session, as far as it matters here.
type settings struct {
	// pooled says that the client's connection is not the session's: a pooler is
	// between, and may give each transaction another session.
	pooled                         bool
	isolation, dateStyle, encoding string
}

const settingsSQL = `SELECT pg_backend_pid(), current_setting('default_transaction_isolation'), current_setting('DateStyle'),
	current_setting('server_encoding')`

// readSettings asks for them, in the way that no setting changes.
func readSettings(ctx context.Context, pool *pgxpool.Pool) (s settings, err error) {
	pc, err := pool.Acquire(ctx)
	if err != nil {
		return s, err
	}
	defer pc.Release()
	conn := pc.Conn().PgConn()
	r, err := conn.Exec(ctx, settingsSQL).ReadAll()
	if err != nil {
		return s, fmt.Errorf("read the session's settings: %w", err)
	}
	row := r[0].Rows[0]
	s.pooled = string(row[0]) != strconv.Itoa(int(conn.PID()))
	s.isolation, s.dateStyle, s.encoding = string(row[1]), string(row[2]), string(row[3])
	if !s.pooled {
		return s, nil
	}
	if err := conn.Exec(ctx, "BEGIN").Close(); err != nil {
		return s, fmt.Errorf("a connection pooler allows no transactions: %w: %w", engine.ErrUnsupported, err)
	}
	return s, conn.Exec(ctx, "ROLLBACK").Close()
}

// adapt changes the configuration to one that works with the settings, and reports
// whether there was anything to change.
func (s settings) adapt(pc *pgxpool.Config) (changed bool) {
	c := pc.ConnConfig
	switch mode := c.DefaultQueryExecMode; {
	case mode == pgx.QueryExecModeCacheStatement && c.StatementCacheCapacity <= 0:
		c.DefaultQueryExecMode, changed = pgx.QueryExecModeExec, true // pgx refuses it else
	case !s.pooled:
	case mode == pgx.QueryExecModeCacheStatement || mode == pgx.QueryExecModeDescribeExec:
		// What one session has prepared another does not know.
		c.DefaultQueryExecMode, changed = pgx.QueryExecModeCacheDescribe, true
	}
	if !strings.HasPrefix(s.dateStyle, "ISO") { // values as text cannot be read else
		c.RuntimeParams["datestyle"], changed = "ISO", true
	}
	if s.isolation != "read committed" && !s.pooled { // statements pass over what others change
		c.RuntimeParams["default_transaction_isolation"], changed = "read committed", true
	}
	return changed
}

// newPool returns a pool like the given one, for the engine alone, whose sessions
// do what it needs, and what the server says of them.
func newPool(ctx context.Context, pc *pgxpool.Config) (pool *pgxpool.Pool, s settings, err error) {
	if pool, err = newPoolAs(ctx, pc); err != nil {
		return nil, s, err
	}
	if s, err = readSettings(ctx, pool); err != nil {
		endPool(pool)
		return nil, s, err
	}
	if s.adapt(pc) {
		endPool(pool)
		pool, err = newPoolAs(ctx, pc)
	}
	return pool, s, err
}

// stored are texts of JSON as the database takes them. Escapes of characters over 127
// one of the encoding SQL_ASCII refuses, though it takes the characters.
func (e *Engine) stored(texts []string) []string {
	if !e.ascii {
		return texts
	}
	raw := make([]string, len(texts))
	for i, text := range texts {
		raw[i] = withoutEscapes(text)
	}
	return raw
}

// withoutEscapes is a JSON text with the characters for their escapes, where these
// are of characters over 127.
func withoutEscapes(text string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(text, '\\')
		if i < 0 || i+1 == len(text) {
			break
		}
		b.WriteString(text[:i])
		r, n := escaped(text[i:])
		if n == 0 {
			b.WriteString(text[i : i+2])
			n = 2
		} else {
			b.WriteRune(r)
		}
		text = text[i+n:]
	}
	b.WriteString(text)
	return b.String()
}

// escaped is the character over 127 of the escape that the text begins with, and how
// long that is, 0 if there is none.
func escaped(text string) (r rune, n int) {
	unit := func(at int) rune {
		if len(text) < at+6 || text[at:at+2] != `\u` {
			return -1
		}
		u, err := strconv.ParseUint(text[at+2:at+6], 16, 16)
		if err != nil {
			return -1
		}
		return rune(u)
	}
	switch r = unit(0); {
	case r < 128:
		return 0, 0
	case !utf16.IsSurrogate(r):
		return r, 6
	}
	if r = utf16.DecodeRune(r, unit(6)); r == unicode.ReplacementChar {
		return 0, 0
	}
	return r, 12
}
