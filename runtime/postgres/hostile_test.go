package postgres_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// hostileRows are columns of jobs that others may have written.
var hostileRows = []string{
	`scheduled_at => '-infinity'`, `scheduled_at => 'infinity'`, `scheduled_at => '200000-01-01'`,
	`created_at => 'infinity'`, `created_at => '-infinity'`, `created_at => '200000-01-01'`,
	`scheduled_at => '-infinity', state => 'scheduled'`, `scheduled_at => 'infinity', state => 'scheduled'`,
	`metadata => '[1]'`, `metadata => '7'`, `metadata => '{"taskctx": [1]}'`, `metadata => '["taskctx"]', kind => 'nobody.t'`,
	`metadata => '{"taskctx": ["parked"]}', state => 'scheduled'`, `metadata => '{"taskctx": "parked"}', state => 'scheduled'`,
	`metadata => '{"taskctx": {"parked": -1e30}}', state => 'scheduled'`, `metadata => '{"taskctx": {"parked": 1e30}}', state => 'scheduled'`,
	`metadata => '{"taskctx": {"ended": -1e30}}'`, `metadata => '{"cancel_attempted_at": "x", "taskctx": {"ended": -1e30}}'`,
	`metadata => '{"taskctx": {"v": 1}}', kind => 'nobody.t', scheduled_at => '-infinity'`,
	`metadata => '{"taskctx": {"v": 2, "kin": "x"}}'`, `metadata => '{"taskctx": {"v": 2, "kin": "99999999999999999999 a"}}'`,
	`metadata => '{"taskctx": {"v": 2, "kin": 7, "of": 1e30, "entry": "a"}}'`, `metadata => '{"taskctx": {"v": 2, "kin": "7 "}}'`,
	`metadata => '{"taskctx": {"v": 2, "kin": "7 a"}}', state => 'running', attempt => '1', attempted_by => '{taskctx:ghost}'`,
	`attempt => '-5'`, `attempt => '32767'`, `attempted_at => 'infinity'`,
	`attempted_by => '{{a,b},{c,d}}'`, `attempted_by => '{NULL,NULL}'`, `attempted_by => '[5:6]={a,b}'`,
	`errors => '{{5,6},{7,8}}'`, `state => 'completed', finalized_at => 'infinity'`,
	`state => 'running', attempt => '1', attempted_by => '{taskctx:ghost}', metadata => '{"cancel_attempted_at": "x", "taskctx": {"ended": -1e30}}'`,
}

// columnsOf are the columns and values of a row of the echo task, for INSERT.
func columnsOf(row string) (columns, values string) {
	cs, vs := []string{"max_attempts"}, []string{"3"}
	for column, value := range map[string]string{"args": `'{"v": 1}'`, "kind": "'app.echo'"} {
		if !strings.Contains(row, column+" =>") {
			cs, vs = append(cs, column), append(vs, value)
		}
	}
	starts := setting.FindAllStringSubmatchIndex(row, -1)
	for i, at := range starts {
		end := len(row)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		cs, vs = append(cs, row[at[2]:at[3]]), append(vs, row[at[1]:end])
	}
	return strings.Join(cs, ", "), strings.Join(vs, ", ")
}

// setting is the beginning of a column's value.
var setting = regexp.MustCompile(`(?:^|, )(\w+) => `)

// TestHostileRows_LeaveOthersAlone: whatever is in one job, the others run, and
// listings go on.
//
// Proves: RELIABILITY 24
func TestHostileRows_LeaveOthersAlone(t *testing.T) {
	slow(t)
	app, _, pool, schema := newProxied(t, runtime.Config{Workers: 4, ParkFor: time.Second},
		postgres.Config{Lease: 300 * time.Millisecond, PollInterval: 20 * time.Millisecond})
	for _, row := range hostileRows {
		columns, values := columnsOf(row)
		_, err := pool.Exec(t.Context(), "INSERT INTO "+schema+".river_job ("+columns+") VALUES ("+values+")")
		require.NoError(t, err, row)
	}
	require.NoError(t, app.Start(t.Context()))
	defer app.Stop(t.Context())
	var hs []*runtime.Handle[jsonText]
	for i := range 100 {
		h, err := echoCall(`1`, runtime.WithDelay(time.Duration(i)*5*time.Millisecond)).Enqueue(t.Context(), app)
		require.NoError(t, err)
		hs = append(hs, h)
	}
	for _, h := range hs {
		_, err := h.Wait(t.Context())
		require.NoError(t, err)
	}
	records, _, err := app.List(t.Context(), engine.Query{Limit: 1000})
	require.NoError(t, err)
	assert.Len(t, records, len(hs)+len(hostileRows))
	_, err = app.Counts(t.Context())
	require.NoError(t, err)
}

// TestOpen_RoleThatMayNotCreateSchemas: a schema that exists is enough.
//
// Proves: RELIABILITY 34
func TestOpen_RoleThatMayNotCreateSchemas(t *testing.T) {
	ctx := t.Context()
	url := servertest.Postgres(t)
	c, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer c.Close(t.Context())
	schema := newSchema(t, url)
	role := "role_" + schema
	for _, text := range []string{"CREATE ROLE " + role + " LOGIN", "CREATE SCHEMA " + schema + " AUTHORIZATION " + role} {
		_, err := c.Exec(ctx, text)
		require.NoError(t, err)
	}
	defer c.Exec(ctx, fmt.Sprintf("REASSIGN OWNED BY %s TO CURRENT_USER; DROP OWNED BY %[1]s; DROP ROLE %[1]s", role))
	pc, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	pc.User = role
	with := fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=disable", pc.Host, pc.Port, role, pc.Database)
	e, err := postgres.Open(ctx, with, postgres.Config{Schema: schema, Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, e.Close())
}
