package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/tasktest"
)

// fakeBank notes what it is asked, and refuses with err.
type fakeBank struct {
	charged []int
	err     error
}

func (b *fakeBank) Charge(_ context.Context, _, _ string, cents int) error {
	b.charged = append(b.charged, cents)
	return b.err
}

// given is what the tasks need: a database of the test's own, and a bank.
func given(t *testing.T, bank Bank) tasktest.Option {
	file := File(filepath.Join(t.TempDir(), "prints.db"))
	return tasktest.Setup(func(app *runtime.App) {
		runtime.Supply(app, file)
		runtime.Supply(app, bank)
	})
}

// One run of a task, in one line.
func TestPlace_ChargesAndHasThePhotosPrinted(t *testing.T) {
	bank, enqueued := new(fakeBank), tasktest.NewRecorder()
	order := Order{ID: "o-1", Photos: []string{"a.jpg", "b.jpg"}}
	_, err := tasktest.Run(t, RegisterTasks, PlaceCall(order, "4111"), given(t, bank), tasktest.WithRecorder(enqueued))
	if err != nil || len(bank.charged) != 1 || bank.charged[0] != 100 {
		t.Errorf("%v, charged %v", err, bank.charged)
	}
	enqueued.AssertOnly(t, PrintCall("o-1"))
}

func TestPlace_RefusedCardIsNotPrinted(t *testing.T) {
	enqueued := tasktest.NewRecorder()
	order := Order{ID: "o-1", Photos: []string{"a.jpg"}}
	_, err := tasktest.Run(t, RegisterTasks, PlaceCall(order, "4111"),
		given(t, &fakeBank{err: errors.New("refused")}), tasktest.WithRecorder(enqueued))
	if err == nil || enqueued.Len() != 0 {
		t.Errorf("%v, %d enqueued", err, enqueued.Len())
	}
}

// The whole service, on tasks in memory.
func TestService(t *testing.T) {
	app, err := newApp(memory.New(memory.Config{}), File(filepath.Join(t.TempDir(), "prints.db")), new(fakeBank))
	if err != nil {
		t.Fatal(err)
	}
	tasktest.Start(t, app)
	server := httptest.NewServer(routes(app))
	defer server.Close()

	const order = `{"id": "o-1", "photos": ["a.jpg", "b.jpg"], "card": "4111-1111"}`
	status, _, location := request(t, "POST", server.URL+"/orders", order)
	_, _, again := request(t, "POST", server.URL+"/orders", order)
	if status != http.StatusAccepted || location == "" || again != location {
		t.Errorf("the order is %d %s, the same again %s", status, location, again)
	}
	tasktest.Idle(t, app)
	status, record, _ := request(t, "GET", server.URL+location, "")
	if status != http.StatusOK || !strings.Contains(record, `"state":"succeeded"`) || strings.Contains(record, "4111") {
		t.Errorf("the record is %d %s", status, record)
	}
	prints, _, err := app.List(t.Context(), engine.Query{Name: "service.Print"})
	if err != nil || len(prints) != 1 || string(prints[0].Result) != `["print of a.jpg","print of b.jpg"]` {
		t.Errorf("prints: %+v, %v", prints, err)
	}
	for path, want := range map[string]int{
		"/tasks/x": http.StatusBadRequest, "/tasks/00000000-0000-0000-0000-000000000000": http.StatusNotFound,
	} {
		if got, _, _ := request(t, "GET", server.URL+path, ""); got != want {
			t.Errorf("%s is %d, want %d", path, got, want)
		}
	}
	if got, text, _ := request(t, "POST", server.URL+"/orders", `{"id": "o-2"}`); got != http.StatusUnprocessableEntity {
		t.Errorf("an order without photos is %d %s", got, text)
	}
}

// serve ends when it is told to, with nothing left behind.
func TestServe_Stops(t *testing.T) {
	t.Chdir(t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- serve(ctx, listener, io.Discard) }()
	const order = `{"id": "o-1", "photos": ["a.jpg"], "card": "4111-1111"}`
	if status, text, _ := request(t, "POST", "http://"+listener.Addr().String()+"/orders", order); status != http.StatusAccepted {
		t.Errorf("%d %s", status, text)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func request(t *testing.T, method, url, body string) (status int, text, location string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header.Get("Location")
}
