package durable_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/taskctx/taskctx/examples/durable"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/tasktest"
)

// warehouse has the sales of 50 regions.
type warehouse struct {
	mu     sync.Mutex
	asked  map[string]int
	stored []durable.Sales
	closed string // a region that cannot be counted
}

func (w *warehouse) Regions(context.Context, string) (all []string, err error) {
	for i := range 50 {
		all = append(all, fmt.Sprint("region ", i))
	}
	return all, nil
}

func (w *warehouse) Sales(_ context.Context, _, region string) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked == nil {
		w.asked = make(map[string]int)
	}
	w.asked[region]++
	if region == w.closed {
		return 0, errors.New("closed")
	}
	return int64(len(region)), nil
}

func (w *warehouse) Store(_ context.Context, month string, all []durable.Sales) (string, error) {
	w.stored = all
	return "https://reports/" + month, nil
}

func supplyWarehouse(w *warehouse) tasktest.Option { return tasktest.Supply[durable.Warehouse](w) }

func TestReport(t *testing.T) {
	w := new(warehouse)
	url, err := tasktest.Play(t, durable.RegisterTasks, durable.ReportCall("2026-11"), supplyWarehouse(w), tasktest.RunChildren(),
		tasktest.DyingEverywhere())
	require.NoError(t, err)
	assert.Equal(t, "https://reports/2026-11", url)
	assert.Len(t, w.stored, 50)
	assert.Equal(t, durable.Sales{Region: "region 7", Cents: 8}, w.stored[7])
}

func TestPartialReport(t *testing.T) {
	w := &warehouse{closed: "region 1"}
	_, err := tasktest.Play(t, durable.RegisterTasks, durable.PartialReportCall("2026-11", []string{"region 1", "region 2"}),
		supplyWarehouse(w), tasktest.RunChildren())
	require.NoError(t, err)
	assert.Equal(t, []durable.Sales{{Region: "region 2", Cents: 8}}, w.stored)
	assert.Equal(t, 4, w.asked["region 1"], "a run, and three retries")
}

type bank struct{ transfers []string }

func (b *bank) Transfer(_ context.Context, reference, account string, cents int64) (string, error) {
	b.transfers = append(b.transfers, fmt.Sprintf("%d to %s", cents, account))
	return "receipt " + reference[:8], nil
}

func supplyBank(b *bank) tasktest.Option { return tasktest.Supply[durable.Bank](b) }

func TestPay(t *testing.T) {
	b := new(bank)
	_, err := tasktest.Play(t, durable.RegisterTasks, durable.PayCall("ann", 1999), supplyBank(b),
		tasktest.Send(71*time.Hour, durable.Approved, durable.Approval{By: "bob", OK: true}))
	require.NoError(t, err)
	assert.Equal(t, []string{"1999 to ann"}, b.transfers)
	_, err = tasktest.Play(t, durable.RegisterTasks, durable.PayCall("ann", 1999), supplyBank(b))
	require.ErrorContains(t, err, "nobody approved it in three days")
	_, err = tasktest.Play(t, durable.RegisterTasks, durable.PayCall("ann", 1999), supplyBank(b),
		tasktest.Send(time.Hour, durable.Approved, durable.Approval{By: "bob"}))
	require.ErrorContains(t, err, "refused by bob")
	assert.Len(t, b.transfers, 1)
}

func TestApprove(t *testing.T) {
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Logger: slog.New(slog.DiscardHandler)})
	durable.RegisterTasks(app)
	supplyAll(app)
	tasktest.Start(t, app)
	mux := http.NewServeMux()
	mux.Handle("POST /payments/{id}/approval", durable.Approve(app))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	h, err := durable.EnqueuePay(t.Context(), app, "ann", 5)
	require.NoError(t, err)
	post := func(id, body string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/payments/"+id+"/approval", strings.NewReader(body))
		require.NoError(t, err)
		res, err := srv.Client().Do(req)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, errors.Join(err, res.Body.Close()))
		return res.StatusCode
	}
	assert.Equal(t, http.StatusNotFound, post("nobody", `{}`))
	assert.Equal(t, http.StatusBadRequest, post(h.ID().String(), `{`))
	assert.Equal(t, http.StatusAccepted, post(h.ID().String(), `{"by":"bob","ok":true}`))
	_, err = h.Wait(t.Context())
	require.NoError(t, err)
	assert.Equal(t, http.StatusConflict, post(h.ID().String(), `{"by":"bob","ok":true}`))
}

// supplyAll gives an app what the tasks of the package ask for.
func supplyAll(app *runtime.App) {
	runtime.Supply[durable.Bank](app, new(bank))
	runtime.Supply[durable.Warehouse](app, new(warehouse))
	runtime.Supply[durable.Agency](app, new(agency))
	runtime.Supply[durable.Model](app, new(model))
	runtime.Supply[*sql.DB](app, nil)
}

type agency struct{}

func (agency) Book(context.Context, string, string) (string, error) { return "ticket", nil }
func (agency) Cancel(context.Context, string) error                 { return nil }

func TestBookTrip(t *testing.T) {
	trip := durable.Trip{Customer: "ann", City: "Oslo"}
	flight := tasktest.Answer(durable.BookFlightCall(trip), "F-1", nil)
	tickets, err := tasktest.Play(t, durable.RegisterTasks, durable.BookTripCall(trip), flight,
		tasktest.Answer(durable.BookHotelCall(trip), "H-1", nil), tasktest.DyingEverywhere())
	require.NoError(t, err)
	assert.Equal(t, []string{"F-1", "H-1"}, tickets)

	full := tasktest.Answer(durable.BookHotelCall(trip), "", errors.New("no room"))
	tasktest.Begin(t, durable.RegisterTasks, durable.BookTripCall(trip), flight, full, tasktest.Answer(durable.CancelFlightCall("F-1"), nil, nil))
	_, err = tasktest.Play(t, durable.RegisterTasks, durable.BookTripCall(trip), flight, full,
		tasktest.Answer(durable.CancelFlightCall("F-1"), nil, nil), tasktest.DyingEverywhere())
	var failed *runtime.TaskError
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, "no room", failed.Reason)
}

func TestSubscribe(t *testing.T) {
	b := new(bank)
	_, err := tasktest.Play(t, durable.RegisterTasks, durable.SubscribeCall("ann", 5, 0), supplyBank(b),
		tasktest.Answer(durable.SubscribeCall("ann", 5, 12), nil, nil))
	require.NoError(t, err)
	assert.Len(t, b.transfers, 12)
}

// model asks a tool first, and then knows.
type model struct{ turns int }

func (m *model) Chat(_ context.Context, history []durable.Turn) (durable.Turn, error) {
	if m.turns++; len(history) == 1 {
		return durable.Turn{Role: "model", Use: []durable.ToolCall{{Tool: "add", Input: "1 2"}, {Tool: "no such", Input: ""}}}, nil
	}
	return durable.Turn{Role: "model", Text: history[2].Text + ", " + history[3].Text[:6]}, nil
}

func TestResearch(t *testing.T) {
	m := new(model)
	answer, err := tasktest.Play(t, durable.RegisterTasks, durable.ResearchCall("1 + 2?"), tasktest.RunChildren(),
		tasktest.Supply[durable.Model](m),
		tasktest.Supply(map[string]func(context.Context, string) (string, error){
			"add": func(context.Context, string) (string, error) { return "3", nil },
		}))
	require.NoError(t, err)
	assert.Equal(t, "3, failed", answer)
	assert.Equal(t, 2, m.turns)
}

func TestArchive(t *testing.T) {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "books.db"))
	require.NoError(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), `CREATE TABLE pages (book, n); CREATE TABLE archive (book, n);
		INSERT INTO pages VALUES ('moby', 0), ('moby', 1), ('moby', 2)`)
	require.NoError(t, err)
	_, err = tasktest.Play(t, durable.RegisterTasks, durable.ArchiveCall("moby", 3), tasktest.Supply(db))
	require.NoError(t, err)
	var n int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM archive").Scan(&n))
	assert.Equal(t, 3, n)
}

func TestNotify(t *testing.T) {
	_, err := tasktest.Play(t, durable.RegisterTasks, durable.NotifyCall([]string{"ann", "bob"}), tasktest.RunChildren())
	require.NoError(t, err)
}
