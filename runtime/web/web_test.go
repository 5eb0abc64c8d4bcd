package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/webtest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/web"
)

// Every page answers, is small, has no script or style of its own, and leads
// only to pages that answer, under the prefix.
func TestPages_LeadToPages(t *testing.T) {
	shop := newShop(t)
	require.NoError(t, shop.Fill(t.Context(), 12))
	s := serve(t, shop.App, web.Config{Title: "shop"})
	seen, queue := map[string]bool{"": true}, []string{""}
	for len(queue) > 0 && len(seen) < 400 {
		at := queue[0]
		queue = queue[1:]
		a := s.get(at)
		require.Equal(t, http.StatusOK, a.StatusCode, at)
		kind := a.Header.Get("Content-Type")
		if !strings.HasPrefix(kind, "text/html") {
			continue
		}
		assert.Less(t, len(a.text), 100_000, at)
		assert.NotRegexp(t, `<script(?: [^>]*)?>[^<]|<style| style=| on[a-z]+=|javascript:`, a.text, at)
		for _, link := range links(a.text) {
			u, err := url.Parse(link)
			require.NoError(t, err, "%s in %s", link, at)
			require.False(t, u.IsAbs() || strings.HasPrefix(u.Path, "/"), "%s in %s is not relative", link, at)
			base, err := url.Parse(s.base + at)
			require.NoError(t, err)
			to := base.ResolveReference(u).String()
			require.True(t, strings.HasPrefix(to, s.base), "%s in %s leads out of the prefix, to %s", link, at, to)
			rest := strings.TrimPrefix(to, s.base)
			posts := strings.HasSuffix(u.Path, "/retry") || strings.HasSuffix(u.Path, "/cancel") || strings.HasSuffix(u.Path, "bulk") ||
				strings.HasSuffix(u.Path, "pause") || strings.HasSuffix(u.Path, "schedules/run") || strings.HasSuffix(u.Path, "resume") ||
				strings.HasSuffix(u.Path, "confirm") && u.RawQuery == "" // a form
			if !seen[rest] && !posts {
				seen[rest] = true
				queue = append(queue, rest)
			}
		}
	}
	assert.Greater(t, len(seen), 50)
}

func TestOverview_ShowsProblemsFirst(t *testing.T) {
	shop := newShop(t)
	s := serve(t, shop.App, web.Config{})
	assert.Contains(t, s.get("").text, "Nothing is wrong")
	require.NoError(t, shop.Fill(t.Context(), 8))
	s = serve(t, shop.App, web.Config{}) // with no snapshot yet
	page := s.get("").text
	for _, want := range []string{
		"No worker serves the queue archive", "Tasks fail: ", "2 tasks will be retried", "smtp: 550 mailbox … is unavailable",
		"card of customer … was declined: insufficient funds", "report.Build",
	} {
		assert.Contains(t, page, want)
	}
	assert.Less(t, strings.Index(page, "No worker serves"), strings.Index(page, "tile s-pending"))
	assert.NotContains(t, page, "Nothing is wrong")
}

// Proves: FEATURES 108
func TestTaskPage_ShowsItsStory(t *testing.T) {
	shop := newShop(t)
	h, err := webtest.Charge("c-7", 20_000, "4111-2222", runtime.WithTag("plan", "pro")).Enqueue(t.Context(), shop)
	require.NoError(t, err)
	_, err = h.Wait(t.Context())
	require.Error(t, err)
	s := serve(t, shop.App, web.Config{})
	page := s.get("tasks/" + h.ID().String()).text
	for _, want := range []string{
		"billing.Charge", "card of customer c-7 was declined", "Attempt 1 failed", "Attempt 2 failed", "Failed for good",
		"the bank refuses", "plan", "2 of 2", "[redacted]", "20000",
	} {
		assert.Contains(t, page, want)
	}
	assert.NotContains(t, page, "4111-2222")
	assert.Equal(t, http.StatusNotFound, s.get("tasks/0190c0de-0000-7000-8000-000000000000").StatusCode)
	assert.Equal(t, http.StatusNotFound, s.get("tasks/nothing").StatusCode)
}

// Proves: FEATURES 108
func TestTaskPage_ShowsTheJournalAndTheTree(t *testing.T) {
	shop := newShop(t)
	h, err := webtest.Book("Moby-Dick").Enqueue(t.Context(), shop)
	require.NoError(t, err)
	id := h.ID().String()
	s := serve(t, shop.App, web.Config{})
	eventually(t, "it waits to be approved", func() bool {
		r, err := h.Record(t.Context())
		require.NoError(t, err)
		entries, err := shop.Journal(t.Context(), h.ID())
		require.NoError(t, err)
		return r.State == engine.StateWaiting && len(entries) > 4 && entries[3].State != ""
	})
	page := s.get("tasks/" + id).text
	for _, want := range []string{
		"s-waiting", "Journal", "3 of 3 child tasks ended, 1 not well", "mail/gone", "smtp: 550 mailbox", "Draft of Moby-Dick", "Tree", `aria-current="true"`,
		"Waits, and goes on at the latest",
	} {
		assert.Contains(t, page, want)
	}
	children := read[list](t, s.get("api/tasks?parent="+id)).Tasks
	require.Len(t, children, 3)
	assert.Contains(t, s.get("tasks/"+children[0].ID.String()).text, "press.Publish")
	assert.Contains(t, s.get("api/tasks/"+id+"/journal").text, `"name":"mail/gone"`)
	assert.Equal(t, http.StatusBadRequest, s.get("api/tasks?parent=nobody").StatusCode)
	require.NoError(t, webtest.Approved.Send(t.Context(), shop.App, h.ID(), "ann"))
	result, err := h.Wait(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "Moby-Dick, approved by ann", result)
}

func TestActions_OnOneTask(t *testing.T) {
	shop := newShop(t)
	log := new(logBuffer)
	s := serve(t, shop.App, web.Config{Logger: log.logger(), User: func(*http.Request) string { return "ann" }})
	s.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	failed, err := webtest.Mail("gone@example.com", "s", "").Enqueue(t.Context(), shop)
	require.NoError(t, err)
	_, err = failed.Wait(t.Context())
	require.Error(t, err)
	id := failed.ID().String()

	a := s.form("tasks/"+id+"/retry", nil)
	assert.Equal(t, http.StatusSeeOther, a.StatusCode)
	assert.Equal(t, "../../tasks/"+id+"?did=retry", a.Header.Get("Location"))
	assert.Contains(t, s.get("tasks/"+id+"?did=retry").text, "The task will run once more.")
	_, err = failed.Wait(t.Context())
	require.Error(t, err)

	later, err := webtest.Mail("ann@example.com", "s", "", runtime.WithDelay(time.Hour)).Enqueue(t.Context(), shop)
	require.NoError(t, err)
	a = s.form("tasks/"+later.ID().String()+"/cancel", url.Values{"why": {"not wanted"}})
	assert.Equal(t, http.StatusSeeOther, a.StatusCode)
	r, err := shop.Lookup(t.Context(), later.ID())
	require.NoError(t, err)
	assert.Equal(t, engine.StateCancelled, r.State)
	assert.Equal(t, "not wanted", r.Reason)
	a = s.form("tasks/"+later.ID().String()+"/retry", nil) // it may still run, for it was cancelled
	assert.Equal(t, http.StatusSeeOther, a.StatusCode)
	_, err = later.Wait(t.Context())
	require.NoError(t, err)
	a = s.form("tasks/"+later.ID().String()+"/retry", nil)
	assert.Equal(t, http.StatusConflict, a.StatusCode)
	assert.Contains(t, a.text, "That is not possible now")

	assert.Contains(t, s.get("tasks/"+id+"/delete").text, "Delete this task?")
	a = s.form("tasks/"+later.ID().String()+"/delete", nil)
	assert.Equal(t, "../../tasks", a.Header.Get("Location"))
	_, err = shop.Lookup(t.Context(), later.ID())
	require.ErrorIs(t, err, runtime.ErrNotFound)
	assert.Equal(t, http.StatusNotFound, s.form("tasks/"+later.ID().String()+"/delete", nil).StatusCode)
	for _, want := range []string{"action=retry user=ann", "action=cancel user=ann", "action=delete user=ann", "task=" + id, "web: action failed"} {
		assert.Contains(t, log.String(), want)
	}
}

// Proves: FEATURES 94, 109
func TestBulk_AsksAndShowsHowMany(t *testing.T) {
	shop := newShop(t)
	require.NoError(t, shop.Fill(t.Context(), 40))
	log := new(logBuffer)
	s := serve(t, shop.App, web.Config{Logger: log.logger()})
	causes := read[struct {
		Causes []struct {
			Name, Reason string
			Tasks        int
		}
	}](t, s.get("api/causes")).Causes
	require.NotEmpty(t, causes)
	first := causes[0]
	assert.Equal(t, "billing.Charge", first.Name)
	assert.Equal(t, "^card of customer * was declined: insufficient funds$", first.Reason)
	filter := url.Values{"state": {"failed"}, "name": {first.Name}, "reason": {first.Reason}}
	count := read[struct{ Tasks int }](t, s.get("api/count?"+filter.Encode()))
	assert.Equal(t, first.Tasks, count.Tasks)

	ask := s.get("confirm?do=delete&" + filter.Encode())
	require.Equal(t, http.StatusOK, ask.StatusCode, ask.text)
	assert.Contains(t, ask.text, "Delete "+plural(first.Tasks)+"?")
	filter.Set("do", "delete")
	filter.Set("limit", "3")
	did := s.form("bulk", filter)
	assert.Contains(t, did.text, "Delete: 3 tasks done")
	filter.Del("limit")
	did = s.form("bulk", filter)
	assert.Contains(t, did.text, "Delete: "+plural(first.Tasks-3)+" done")
	filter.Del("do")
	assert.Zero(t, read[struct{ Tasks int }](t, s.get("api/count?"+filter.Encode())).Tasks)
	assert.Contains(t, log.String(), "done=3")

	// Those chosen by hand.
	mails := read[list](t, s.get("api/tasks?state=failed&name=mail.Send&limit=2")).Tasks
	require.Len(t, mails, 2)
	chosen := url.Values{"do": {"retry"}, "id": {mails[0].ID.String(), mails[1].ID.String()}}
	assert.Contains(t, s.get("confirm?"+chosen.Encode()).text, "Retry 2 tasks?")
	assert.Contains(t, s.form("bulk", chosen).text, "Retry: 2 tasks done")
}

// TestTaskPage_Bounds: a task's page tells how long it may take, as it was enqueued or
// registered.
func TestTaskPage_Bounds(t *testing.T) {
	shop := newShop(t)
	s := serve(t, shop.App, web.Config{})
	deadline := time.Now().Add(72 * time.Hour)
	h, err := webtest.Mail("ann@example.com", "s", "", runtime.WithDelay(time.Hour), runtime.WithTimeout(90*time.Second),
		runtime.WithDeadline(deadline)).Enqueue(t.Context(), shop)
	require.NoError(t, err)
	page := s.get("tasks/" + h.ID().String()).text
	assert.Contains(t, page, "1 min 30 s an attempt")
	assert.Contains(t, page, "<dt>Deadline</dt>")
	assert.Contains(t, page, deadline.UTC().Format("2006-01-02 15:04:05"))
	r := read[runtime.Record](t, s.get("api/tasks/"+h.ID().String()))
	assert.Equal(t, 90*time.Second, r.Timeout)
	assert.WithinDuration(t, deadline, r.Deadline, time.Millisecond)

	report, err := webtest.Report(2024, runtime.WithDelay(time.Hour)).Enqueue(t.Context(), shop)
	require.NoError(t, err)
	page = s.get("tasks/" + report.ID().String()).text
	assert.Contains(t, page, "1 h an attempt", "that of its registration")
	assert.NotContains(t, page, "<dt>Deadline</dt>")
}

func TestTasks_ByPriority(t *testing.T) {
	shop := newShop(t)
	s := serve(t, shop.App, web.Config{})
	for p := range 4 {
		_, err := webtest.Mail("ann@example.com", "s", "", runtime.WithDelay(time.Hour), runtime.WithPriority(p)).Enqueue(t.Context(), shop)
		require.NoError(t, err)
	}
	tasks := read[list](t, s.get("api/tasks?priority=1,3")).Tasks
	require.Len(t, tasks, 2)
	assert.Equal(t, []int{1, 3}, []int{tasks[0].Priority, tasks[1].Priority})
	assert.Equal(t, 1, read[struct{ Tasks int }](t, s.get("api/count?priority=0")).Tasks)
	page := s.get("tasks?priority=2").text
	assert.Contains(t, page, "priority 2</span>")
	assert.NotContains(t, page, "priority 3</span>")
	assert.Contains(t, s.get("confirm?do=cancel&priority=2,3").text, "of priority 2,3")
	out := read[struct{ Done int }](t, s.post("api/cancel", `{"priority":"2,3"}`))
	assert.Equal(t, 2, out.Done)
	for _, wrong := range []string{"4", "-1", "high"} {
		assert.Equal(t, http.StatusBadRequest, s.get("api/tasks?priority="+wrong).StatusCode, wrong)
	}
}

// TestRunNow_OnPages: a task that waits for its time is run now on its page, and many
// at once after a question.
//
// Proves: FEATURES 109
func TestRunNow_OnPages(t *testing.T) {
	shop := newShop(t)
	log := new(logBuffer)
	s := serve(t, shop.App, web.Config{Logger: log.logger()})
	s.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	var ids []string
	for range 3 {
		h, err := webtest.Mail("ann@example.com", "s", "", runtime.WithDelay(48*time.Hour)).Enqueue(t.Context(), shop)
		require.NoError(t, err)
		ids = append(ids, h.ID().String())
	}
	succeeded := func(n int) {
		t.Helper()
		eventually(t, "they have run", func() bool {
			return read[struct{ Tasks int }](t, s.get("api/count?state=succeeded&name=mail.Send")).Tasks == n
		})
	}
	page := s.get("tasks/" + ids[0]).text
	assert.Contains(t, page, "Run now</button>")
	assert.Contains(t, page, ">"+read[runtime.Record](t, s.get("api/tasks/"+ids[0])).Due.UTC().Format("2 Jan 15:04:05")+"<", "not today: its date too")
	a := s.form("tasks/"+ids[0]+"/run", nil)
	require.Equal(t, http.StatusSeeOther, a.StatusCode, a.text)
	assert.Contains(t, s.get("tasks/"+ids[0]+"?did=run").text, "The task runs as soon as a worker takes it.")
	succeeded(1)
	assert.NotContains(t, s.get("tasks/"+ids[0]).text, "Run now</button>")
	assert.Equal(t, http.StatusConflict, s.post("api/tasks/"+ids[0]+"/run", "").StatusCode)

	assert.Contains(t, s.get("tasks?state=scheduled").text, "Run all now…")
	assert.NotContains(t, s.get("tasks?state=failed,running").text, "Run all now…")
	all := url.Values{"do": {"run"}, "name": {"mail.Send"}}
	assert.Contains(t, s.get("confirm?"+all.Encode()).text, "Run 2 tasks now?")
	assert.Contains(t, s.form("bulk", all).text, "Run: 2 tasks done")
	succeeded(3)
	assert.Contains(t, log.String(), "action=run")
}

func plural(n int) string {
	return map[bool]string{true: "1 task", false: strings.TrimSpace(itoa(n)) + " tasks"}[n == 1]
}

func TestSchedules_OnPages(t *testing.T) {
	shop := newShop(t)
	s := serve(t, shop.App, web.Config{})
	s.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	page := s.get("schedules").text
	assert.Contains(t, page, "daily digest")
	assert.Contains(t, page, "none is kept")
	a := s.form("schedules", url.Values{"name": {"daily digest"}})
	require.Equal(t, http.StatusSeeOther, a.StatusCode, a.text)
	assert.Contains(t, s.get("schedules").text, "mail.Send")
	assert.NotContains(t, s.get("schedules").text, "none is kept")
	assert.Equal(t, http.StatusNotFound, s.form("schedules", url.Values{"name": {"weekly"}}).StatusCode)
	// A process that has none registered knows those whose tasks are kept.
	other := serve(t, runtime.New(shop.Engine(), runtime.Config{Logger: silent}), web.Config{})
	page = other.get("schedules").text
	assert.Contains(t, page, "daily digest")
	assert.NotContains(t, page, "Run now")
}

func TestSchedules_ArePausedOnPages(t *testing.T) {
	shop := newShop(t)
	s := serve(t, shop.App, web.Config{})
	page := s.form("pause", url.Values{"schedule": {"daily digest"}})
	require.Equal(t, http.StatusOK, page.StatusCode, page.text)
	assert.Contains(t, page.text, "Resume the schedule daily digest")
	paused, err := shop.PausedSchedules(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"daily digest"}, paused)
	assert.Contains(t, s.get("api/schedules").text, `"paused":true`)
	page = s.form("resume", url.Values{"schedule": {"daily digest"}})
	assert.Contains(t, page.text, "Pause the schedule daily digest")
	assert.Equal(t, http.StatusBadRequest, s.form("pause", url.Values{"schedule": {"a"}, "queue": {"b"}}).StatusCode)
}

// Proves: FEATURES 100
func TestPause_OnPages(t *testing.T) {
	shop := newShop(t)
	s := serve(t, shop.App, web.Config{})
	s.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, form := range []url.Values{{"queue": {"mail"}}, {"name": {"report.Build"}}} {
		a := s.form("pause", form)
		require.Equal(t, http.StatusSeeOther, a.StatusCode, a.text)
		assert.Equal(t, "./queues", a.Header.Get("Location"))
	}
	h, err := webtest.Mail("ann@example.com", "s", "").Enqueue(t.Context(), shop)
	require.NoError(t, err)
	page := s.get("queues").text
	assert.Contains(t, page, "s-paused")
	assert.Contains(t, page, "report.Build")
	assert.Contains(t, s.get("").text, "The queue mail is paused")
	paused := read[struct{ Paused []engine.Pause }](t, s.get("api/paused")).Paused
	require.Len(t, paused, 2)
	for _, form := range []url.Values{{"queue": {"mail"}}, {"name": {"report.Build"}}} {
		require.Equal(t, http.StatusSeeOther, s.form("resume", form).StatusCode)
	}
	_, err = h.Wait(t.Context())
	require.NoError(t, err)
	assert.NotContains(t, s.get("queues").text, "s-paused")
	assert.Equal(t, http.StatusBadRequest, s.form("pause", url.Values{}).StatusCode)
	assert.Equal(t, http.StatusBadRequest, s.post("api/pause", `{"queue":"a","name":"b"}`).StatusCode)
}

func TestEnqueueForm(t *testing.T) {
	shop := newShop(t)
	s := serve(t, shop.App, web.Config{})
	s.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	form := s.get("enqueue?name=report.Build").text
	for _, want := range []string{`name="p.year"`, `type="number"`, `name="p.draft"`, `type="checkbox"`, `name="p.options"`, "&#34;format&#34;: &#34;&#34;"} {
		assert.Contains(t, form, want)
	}
	assert.Contains(t, s.get("enqueue?name=billing.Charge").text, `type="password" name="p.card"`)
	assert.Contains(t, s.get("enqueue?name=none.Such").text, "There is no task of this name here.")

	a := s.form("enqueue", url.Values{
		"name": {"report.Build"}, "p.year": {"2024"}, "p.draft": {"true"}, "p.options": {`{"format":"pdf","pages":null,"share":null}`},
		"queue": {"reports"}, "delay": {"1h"},
	})
	require.Equal(t, http.StatusSeeOther, a.StatusCode, a.text)
	id := strings.TrimSuffix(path.Base(a.Header.Get("Location")), "?did=enqueue")
	r := read[runtime.Record](t, s.get("api/tasks/"+id))
	assert.Equal(t, engine.StateScheduled, r.State)
	assert.JSONEq(t, `{"year":2024,"draft":true,"options":{"format":"pdf","pages":null,"share":null}}`, string(r.Args))
	again := s.get("enqueue?name=report.Build&like=" + id).text
	assert.Contains(t, again, `value="2024"`)

	a = s.form("enqueue", url.Values{"name": {"report.Build"}, "p.year": {"two"}, "p.options": {"{}"}, "queue": {"reports"}})
	assert.Equal(t, http.StatusUnprocessableEntity, a.StatusCode)
	assert.Contains(t, a.text, "p.year")
	assert.Contains(t, a.text, "is not valid number")
}

// A store that is down gives a page that says so, and comes back by itself.
func TestHandler_StoreThatIsDown(t *testing.T) {
	engine := &failing{Engine: memory.New(memory.Config{})}
	shop := shopOn(t, engine)
	s := serve(t, shop.App, web.Config{})
	engine.down.Store(true)
	for _, page := range []string{"", "tasks", "failed", "queues", "workers", "tasks/0190c0de-0000-7000-8000-000000000000"} {
		a := s.get(page)
		assert.Equal(t, http.StatusServiceUnavailable, a.StatusCode, page)
		assert.Contains(t, a.text, "The store does not answer", page)
		assert.Contains(t, a.text, "connection refused", page)
		assert.NotEmpty(t, a.Header.Get("Refresh"))
	}
	assert.Equal(t, http.StatusOK, s.get("docs").StatusCode)
	assert.Equal(t, http.StatusOK, s.get("enqueue?name=mail.Send").StatusCode)
	a := s.get("api/queues")
	assert.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
	assert.JSONEq(t, `{"error":"count tasks: connection refused"}`, a.text)
	engine.down.Store(false)
	assert.Equal(t, http.StatusOK, s.get("").StatusCode)
}

func TestEvents_OfChanges(t *testing.T) {
	shop := newShop(t)
	s := serve(t, shop.App, web.Config{})
	h, err := webtest.Report(2020).Enqueue(t.Context(), shop)
	require.NoError(t, err)
	<-shop.Began
	for _, at := range []string{"events", "events?task=" + h.ID().String()} {
		got := listen(t, s, at)
		assert.Equal(t, "hello", <-got)
		if at == "events" {
			_, err := webtest.Mail("ann@example.com", "s", "").Enqueue(t.Context(), shop)
			require.NoError(t, err)
		} else {
			shop.Done()
		}
		assert.Equal(t, "change", <-got)
	}
	assert.Equal(t, http.StatusBadRequest, s.get("events?task=none").StatusCode)
}

func TestHandler_MountedInEveryWay(t *testing.T) {
	shop := newShop(t)
	h := web.Handler(shop.App, web.Config{Allow: allowAll, Logger: silent})
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.Handle("/a/b/", http.StripPrefix("/a/b", h))
	mux.Handle("/slash/", http.StripPrefix("/slash/", h))
	mux.Handle("/bare", http.StripPrefix("/bare", h))
	mux.Handle("/wrong/", h)
	get := func(target string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", target, nil))
		return w
	}
	for _, target := range []string{"/", "/tasks", "/a/b/", "/a/b/tasks?state=failed", "/slash/", "/slash/tasks"} {
		assert.Equal(t, http.StatusOK, get(target).Code, target)
	}
	assert.Equal(t, "bare/", get("/bare").Header().Get("Location"))
	w := get("/wrong/tasks")
	assert.Equal(t, http.StatusNotFound, w.Code)
	assert.Contains(t, w.Body.String(), "http.StripPrefix")
	for _, target := range []string{"/a/b/tasks//x", "/a/b//evil.example/", "/a/b/../b/tasks/.", "/a/b/nothing"} {
		w := get(target)
		assert.NotEqual(t, http.StatusOK, w.Code, target)
		assert.False(t, strings.HasPrefix(w.Header().Get("Location"), "//"), target)
	}
	w = get("/a/b/bulk")
	assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
	assert.Equal(t, "POST", w.Header().Get("Allow"))
}

func TestAllow_RefusedRequestsLearnNothing(t *testing.T) {
	shop := newShop(t)
	require.NoError(t, shop.Fill(t.Context(), 4))
	s := serve(t, shop.App, web.Config{Allow: func(*http.Request, web.Action) error { return errors.New("log in first") }})
	for _, page := range []string{"", "tasks", "failed", "queues", "workers", "docs", "enqueue", "confirm?do=retry&state=failed", "nothing"} {
		a := s.get(page)
		assert.Contains(t, []int{http.StatusForbidden, http.StatusNotFound}, a.StatusCode, page)
		assert.NotContains(t, a.text, "aria-current", page)
		assert.NotContains(t, a.text, "mail.Send", page)
	}
	assert.Contains(t, s.get("").text, "log in first")
	for _, at := range []string{"api/tasks", "api/queues", "api/openapi.json", "api/events", "events"} {
		a := s.get(at)
		assert.Equal(t, http.StatusForbidden, a.StatusCode, at)
		assert.JSONEq(t, `{"error":"log in first"}`, a.text)
	}
	_, err := shop.Counts(context.Background())
	require.NoError(t, err)
}
