package web_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/webtest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/web"
	"github.com/taskctx/taskctx/runtime/wire"
)

// historyAnswer is what api/history answers.
type historyAnswer struct {
	Step   int `json:"step_s"`
	Points []struct {
		Succeeded, Failed int64
		Ran95             float64 `json:"ran_p95_ms"`
	}
}

func TestHistory_OnPages(t *testing.T) {
	shop := newShop(t)
	s := serve(t, shop.App, web.Config{})
	assert.Contains(t, s.get("history").text, "Nothing was counted")
	require.NoError(t, shop.Count(t.Context(), time.Now()))
	s = serve(t, shop.App, web.Config{}) // the other has read it already
	for name, points := range map[string]int{"hour": 60, "day": 96, "weeks": 56, "months": 90} {
		page := s.get("history?range=" + name)
		require.Equal(t, http.StatusOK, page.StatusCode, name)
		assert.Contains(t, page.text, `class="p-succeeded"`, name)
		assert.Contains(t, page.text, "<polyline", name)
		out := read[historyAnswer](t, s.get("api/history?range="+name))
		require.Len(t, out.Points, points, name)
		var good, bad int64
		for _, p := range out.Points {
			good, bad = good+p.Succeeded, bad+p.Failed
			assert.True(t, p.Succeeded == 0 || p.Ran95 > 0)
		}
		assert.Greater(t, good, bad, name)
		assert.Positive(t, bad, name)
	}
	for _, wrong := range []string{"range=year", "queue=mail", "range=day&queue=mail"} {
		assert.Equal(t, http.StatusBadRequest, s.get("history?"+wrong).StatusCode, wrong)
	}
	overview := s.get("").text
	assert.Contains(t, overview, "The last hour")
}

// TestOverview_FailuresAMinuteAgainstBefore: by the history, and without one by
// the tasks that are kept.
func TestOverview_FailuresAMinuteAgainstBefore(t *testing.T) {
	for _, counted := range []bool{true, false} {
		shop := newShop(t)
		h, err := webtest.Mail("gone@example.com", "s", "").Enqueue(t.Context(), shop)
		require.NoError(t, err)
		_, err = h.Wait(t.Context())
		require.Error(t, err)
		want := "Now 0.1 a minute, none in the hour before."
		if counted {
			require.NoError(t, shop.Count(t.Context(), time.Now()))
			want = "in the hour before."
		}
		page := serve(t, shop.App, web.Config{}).get("").text
		assert.Contains(t, page, "Tasks fail: 1 for 1 cause")
		assert.Contains(t, page, want)
	}
}

func TestLimits_OnPages(t *testing.T) {
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Workers: 4, Logger: silent})
	gate := make(chan struct{})
	task := glue.NewTask[struct{}, runtime.Void](wire.Spec{Name: "scan", Func: "Scan", Limit: 1}, nil)
	glue.Register(app, task, func(*runtime.Context, *struct{}) (runtime.Void, error) { <-gate; return runtime.Void{}, nil })
	require.NoError(t, app.Start(t.Context()))
	var last *runtime.Handle[runtime.Void]
	for range 3 {
		h, err := task.Call(nil, nil).Enqueue(t.Context(), app)
		require.NoError(t, err)
		last = h
	}
	s := serve(t, app, web.Config{})
	rule := engine.LimitRule("scan", "")
	eventually(t, "one runs and two wait", func() bool {
		ls, err := app.Limits(t.Context())
		return err == nil && len(ls) == 1 && ls[0].Held == 1 && ls[0].Waiting == 2
	})
	page := s.get("limits").text
	assert.Contains(t, page, rule)
	link := ""
	for _, l := range links(page) {
		if strings.Contains(l, "reason=") {
			link = l
		}
	}
	require.NotEmpty(t, link)
	assert.Equal(t, 2, strings.Count(s.get(strings.TrimPrefix(link, "./")).text, `id="t-`), "the link leads to those that wait")
	a := s.form("limits", url.Values{"rule": {rule}, "most": {"3"}})
	require.Equal(t, http.StatusOK, a.StatusCode, a.text) // after the redirect
	ls, err := app.Limits(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 3, ls[0].Set)
	assert.Equal(t, http.StatusBadRequest, s.form("limits", url.Values{"rule": {rule}, "most": {"many"}}).StatusCode)
	assert.Equal(t, http.StatusBadRequest, s.form("limits", url.Values{"rule": {rule}, "most": {"-1"}}).StatusCode)
	assert.Equal(t, http.StatusBadRequest, s.form("limits", url.Values{"rule": {""}, "most": {"1"}}).StatusCode)
	s.form("limits", url.Values{"rule": {rule}, "most": {""}})
	ls, err = app.Limits(t.Context())
	require.NoError(t, err)
	assert.Negative(t, ls[0].Set)
	close(gate)
	_, err = last.Wait(t.Context())
	require.NoError(t, err)
	require.NoError(t, app.Stop(t.Context()))
}

func TestGraph_ShowsWhoEnqueuesWhom(t *testing.T) {
	shop := newShop(t)
	_, err := webtest.Book("Moby-Dick").Enqueue(t.Context(), shop)
	require.NoError(t, err)
	s := serve(t, shop.App, web.Config{})
	type graph struct {
		Names []struct{ Name string }
		Edges []struct {
			From, To string
			Tasks    int
		}
	}
	eventually(t, "the book has sent its mails", func() bool {
		g := read[graph](t, s.get("api/graph"))
		return len(g.Edges) == 1 && g.Edges[0].Tasks == 3 && g.Edges[0].From == "press.Publish" && g.Edges[0].To == "mail.Send"
	})
	page := s.get("graph").text
	for _, what := range []string{"press.Publish → mail.Send: 3 tasks", "billing.Charge", `class="g-queue"`, "daily digest"} {
		assert.Contains(t, page, what)
	}
}

// plainCodec is a codec that can be seen through.
type plainCodec struct{}

func (plainCodec) Encode(_ hook.Binding, plain json.RawMessage) (json.RawMessage, error) {
	return json.Marshal("sealed:" + string(plain))
}

func (plainCodec) Decode(_ hook.Binding, stored json.RawMessage) (json.RawMessage, error) {
	var text string
	err := json.Unmarshal(stored, &text)
	return json.RawMessage(strings.TrimPrefix(text, "sealed:")), err
}

func TestTaskPage_DecodesArgumentsForThoseWhoMay(t *testing.T) {
	e := memory.New(memory.Config{})
	shop := webtest.NewWith(e, runtime.Config{Codec: plainCodec{}, Logger: silent})
	h, err := webtest.Charge("c-7", 5, "4111-1111").Enqueue(t.Context(), shop)
	require.NoError(t, err)
	var log logBuffer
	may := true
	s := serve(t, shop.App, web.Config{Logger: log.logger(), Allow: func(_ *http.Request, a web.Action) error {
		if a == web.Decode && !may {
			return http.ErrNotSupported
		}
		return nil
	}})
	at := "tasks/" + h.ID().String()
	page := s.get(at).text
	assert.NotContains(t, page, `"c-7"`)
	assert.Contains(t, page, "?args=decoded")
	assert.NotContains(t, log.String(), "action=decode")
	page = s.get(at + "?args=decoded").text
	assert.Contains(t, page, "c-7")
	assert.NotContains(t, page, "4111", "what is redacted stays so")
	assert.Contains(t, log.String(), "action=decode")
	assert.Contains(t, s.get("api/"+at+"/args").text, "c-7")
	may = false
	assert.Equal(t, http.StatusForbidden, s.get(at+"?args=decoded").StatusCode)
	assert.Equal(t, http.StatusForbidden, s.get("api/"+at+"/args").StatusCode)
	assert.NotContains(t, s.get(at).text, "?args=decoded")

	plain := serve(t, newShop(t).App, web.Config{})
	assert.Equal(t, http.StatusUnprocessableEntity, plain.get("api/"+at+"/args").StatusCode)
}

// TestConfirm_SaysAboutHowMany: of very many tasks a page counts some, and says what the
// engine counts.
//
// Proves: FEATURES 109
func TestConfirm_SaysAboutHowMany(t *testing.T) {
	shop := webtest.NewWith(memory.New(memory.Config{}), runtime.Config{Logger: silent})
	var b runtime.Batch
	for range 30_000 {
		runtime.AddTo(&b, webtest.Mail("ann@example.com", "s", ""))
	}
	require.NoError(t, b.Enqueue(t.Context(), shop))
	s := serve(t, shop.App, web.Config{})
	s.get("")
	page := s.get("confirm?do=cancel&state=" + string(engine.StatePending)).text
	assert.Contains(t, page, "more than ")
	assert.Contains(t, page, "The engine counts about 30,000 tasks.")
}

// TestGraph_Contexts: the graph tells which contexts this process has, for which tasks,
// and where their values are from.
func TestGraph_Contexts(t *testing.T) {
	shop := newShop(t)
	s := serve(t, shop.App, web.Config{})
	out := read[struct{ Contexts []inspect.ContextInfo }](t, s.get("api/graph"))
	require.Len(t, out.Contexts, 1)
	assert.Equal(t, []string{"stock.Count"}, out.Contexts[0].Tasks)
	assert.Equal(t, []inspect.ProviderInfo{
		{Name: "webtest.nearestDepot", Type: "string", Scope: "process", Supplies: []string{"webtest.Prices"}},
		{Name: "webtest.beginShelf", Type: "*webtest.Shelf", Scope: "task", Providers: []string{"webtest.nearestDepot"}},
	}, out.Contexts[0].Providers)
	page := s.get("graph").text
	for _, want := range []string{
		"*webtest.Stock", "webtest.Prices", ">supplied<", "func() (*webtest.Shelf, error)", "by webtest.beginShelf, when asked for", "by nearestDepot",
		"webtest.nearestDepot", ">process<", ">task<",
	} {
		assert.Contains(t, page, want)
	}
	picture := page[strings.Index(page, "Contexts of this process"):]
	for _, want := range []string{
		`<g class="g-context"><title>*webtest.Stock</title>`, "context of stock.Count", `<g class="g-provider"><title>webtest.beginShelf</title>`,
		`<g class="g-supply"><title>webtest.Prices</title>`, "supplied by the app", "*webtest.Stock → webtest.beginShelf", "*webtest.Stock → webtest.Prices", "*webtest.Stock → webtest.nearestDepot",
		"webtest.beginShelf → webtest.nearestDepot", "webtest.nearestDepot → webtest.Prices",
	} {
		assert.Contains(t, picture, want)
	}
	other := serve(t, runtime.New(shop.Engine(), runtime.Config{Logger: silent}), web.Config{})
	assert.NotContains(t, other.get("graph").text, "Contexts of this process")
	assert.NotContains(t, other.get("graph").text, "Providers")
}

// TestGraph_LinesPassBoxes: a line to a task two columns further goes between the boxes
// of the column that it passes.
func TestGraph_LinesPassBoxes(t *testing.T) {
	shop := newShop(t)
	_, err := webtest.Book("Moby-Dick").Enqueue(t.Context(), shop.App)
	require.NoError(t, err)
	s := serve(t, shop.App, web.Config{})
	var page string
	require.Eventually(t, func() bool { page = s.get("graph").text; return strings.Contains(page, "press.Publish → mail.Send") }, time.Minute, 10*time.Millisecond)
	box := regexp.MustCompile(`<rect x="(\d+)" y="(\d+)" width="\d+" height="(\d+)"`)
	lane := regexp.MustCompile(`[C ](\d+) (\d+)H(\d+)`)
	number := func(s string) int { n, err := strconv.Atoi(s); require.NoError(t, err); return n }
	pictures := strings.Split(page, "<svg width=")[1:]
	require.Len(t, pictures, 2)
	for _, picture := range pictures {
		lanes := lane.FindAllStringSubmatch(picture, -1)
		require.NotEmpty(t, lanes, "mail.Send is enqueued by another task, so that its queue is two columns away; so are supplies")
		for _, l := range lanes {
			for _, b := range box.FindAllStringSubmatch(picture, -1) {
				y := number(l[2])
				assert.False(t, b[1] == l[1] && y >= number(b[2]) && y <= number(b[2])+number(b[3]), "the line %s crosses the box %s", l[0], b[0])
			}
		}
	}
}

// TestTasks_WithArguments: a list shows arguments when it is asked to, without what is
// redacted, and its links keep to that.
func TestTasks_WithArguments(t *testing.T) {
	shop := newShop(t)
	for i := range 60 {
		_, err := webtest.Charge("c-1", int64(i), "4111", runtime.WithDelay(time.Hour)).Enqueue(t.Context(), shop.App)
		require.NoError(t, err)
	}
	s := serve(t, shop.App, web.Config{})
	plain := s.get("tasks?name=billing.Charge").text
	assert.NotContains(t, plain, "cents")
	assert.Contains(t, plain, "args=show")
	shown := s.get("tasks?name=billing.Charge&args=show").text
	assert.Contains(t, shown, "&#34;cents&#34;:59")
	assert.NotContains(t, shown, "4111")
	assert.Contains(t, shown, "Hide arguments")
	assert.Regexp(t, `rel="next" href="[^"]*args=show`, shown)
}

// TestTasks_ParentAndRootAlike: a task's own children, asked for by both.
func TestTasks_ParentAndRootAlike(t *testing.T) {
	e := memory.New(memory.Config{})
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	root, child := uuid.UUID{1}, uuid.UUID{2}
	ms := []*engine.Message{{Meta: engine.Meta{ID: root, Root: root}}, {Meta: engine.Meta{ID: child, Parent: root, Root: root}}, {Meta: engine.Meta{ID: uuid.UUID{3}, Parent: child, Root: root}}}
	for _, m := range ms {
		m.Name, m.Queue = "family.task", "default"
	}
	_, err := e.Insert(t.Context(), ms)
	require.NoError(t, err)
	s := serve(t, runtime.New(e, runtime.Config{Logger: silent}), web.Config{})
	for range 10 { // the order of the two was by chance
		out := read[struct{ Tasks []struct{ ID uuid.UUID } }](t, s.get("api/tasks?parent="+root.String()+"&root="+root.String()))
		require.Len(t, out.Tasks, 1)
		assert.Equal(t, child, out.Tasks[0].ID)
	}
}

// TestHistory_OfAQueue: the page offers the queues for ranges that keep them.
func TestHistory_OfAQueue(t *testing.T) {
	shop := newShop(t)
	require.NoError(t, shop.Count(t.Context(), time.Now()))
	s := serve(t, shop.App, web.Config{})
	assert.NotContains(t, s.get("history").text, "All queues")
	weeks := s.get("history?range=weeks").text
	assert.Contains(t, weeks, "queue=mail&amp;range=weeks")
	mail := s.get("history?range=weeks&queue=mail").text
	assert.Contains(t, mail, "Tasks that ended")
	assert.NotContains(t, mail, "How long runs took", "times are not kept by queue")
}

// farTree is an engine with so many tasks that a tree is not found from the oldest on,
// nor, if it is old, from the newest on.
type farTree struct {
	*memory.Engine
	old bool
}

func (e *farTree) List(ctx context.Context, q engine.Query) ([]*engine.Entry, string, error) {
	if q.Root == (uuid.UUID{}) || q.Newest && !e.old {
		return e.Engine.List(ctx, q)
	}
	time.Sleep(20 * time.Millisecond)
	return nil, "further", nil
}

// TestTaskPage_TreeAmongManyTasks: the tree of a new task is found from the newest tasks
// on, and that of an old one by its journal.
func TestTaskPage_TreeAmongManyTasks(t *testing.T) {
	for name, old := range map[string]bool{"new": false, "old": true} {
		t.Run(name, func(t *testing.T) {
			e := &farTree{memory.New(memory.Config{}), old}
			shop := webtest.New(e, silent)
			require.NoError(t, shop.Start(t.Context()))
			t.Cleanup(func() {
				shop.Done()
				require.NoError(t, shop.Stop(context.Background()))
				require.NoError(t, e.Close())
			})
			h, err := webtest.Book("Moby-Dick").Enqueue(t.Context(), shop.App)
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				r, err := h.Record(t.Context())
				return err == nil && r.State == engine.StateWaiting && strings.Contains(r.Reason, "approved")
			}, 10*time.Second, 5*time.Millisecond)
			page := serve(t, shop.App, web.Config{}).get("tasks/" + h.ID().String()).text
			_, tree, found := strings.Cut(page, "<h2>Tree</h2>")
			require.True(t, found, page)
			assert.Equal(t, 3, strings.Count(tree, ">mail.Send<"))
		})
	}
}
