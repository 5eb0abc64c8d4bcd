package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/webtest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/web"
	"github.com/taskctx/taskctx/runtime/wire"
)

// stored is a task in a queue of its own, with a priority and tags.
func stored(t *testing.T, app *runtime.App, c runtime.Call[int64]) string {
	t.Helper()
	h, err := runtime.With(c, runtime.WithPriority(3), runtime.WithTag("customer", "acme"), runtime.WithTag("note", "a: b"), runtime.WithQueue("vip"),
		runtime.WithTag(runtime.TagEvery, "nightly"), runtime.WithKey("once", time.Hour)).Enqueue(t.Context(), app)
	require.NoError(t, err)
	return h.ID().String()
}

// TestTaskPage_ShowsWhatIsStored: folded, and in the API.
//
// Proves: FEATURES 108
func TestTaskPage_ShowsWhatIsStored(t *testing.T) {
	shop := newShop(t)
	s := serve(t, shop.App, web.Config{})
	id := stored(t, shop.App, webtest.Charge("c-1", 12345678901234567, "4111-1111-7303"))
	page := s.get("tasks/" + id).text
	_, folded, found := strings.Cut(page, "<summary>Metadata, as it is stored</summary>")
	require.True(t, found)
	for _, want := range []string{"headers", "customer", "key_for", "once", "redact"} {
		if want != "headers" { // it has none
			assert.Contains(t, folded, want)
		}
	}
	assert.NotContains(t, page, "4111-1111-7303")
	a := s.get("api/tasks/" + id + "/metadata")
	var out struct {
		Metadata struct {
			Key  string
			Meta struct{ Tags map[string]string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(a.text), &out), a.text)
	assert.Equal(t, "once", out.Metadata.Key)
	assert.Equal(t, "acme", out.Metadata.Meta.Tags["customer"])
	assert.NotContains(t, a.text, "4111-1111-7303")
	assert.Equal(t, http.StatusNotFound, s.get("api/tasks/0190c0de-0000-7000-8000-000000000000/metadata").StatusCode)

	// Buttons that copy are hidden until there is a script that copies.
	buttons := regexp.MustCompile(`<button[^>]*data-copy="(\w+)"[^>]*>`).FindAllStringSubmatch(page, -1)
	var what []string
	for _, b := range buttons {
		assert.Contains(t, b[0], " hidden>")
		assert.Contains(t, page, `id="`+b[1]+`"`)
		what = append(what, b[1])
	}
	assert.Equal(t, []string{"args", "id", "metadata"}, what)
}

// TestEnqueue_ACopy: the form has the task's arguments, queue, priority and tags, and
// asks for what is redacted.
//
// Proves: FEATURES 106
func TestEnqueue_ACopy(t *testing.T) {
	shop := newShop(t)
	s := serve(t, shop.App, web.Config{})
	s.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	id := stored(t, shop.App, webtest.Charge("c-1", 12345678901234567, "4111-1111-7303"))
	at := "enqueue?" + url.Values{"name": {"billing.Charge"}, "like": {id}}.Encode()
	assert.Contains(t, links(s.get("tasks/"+id).text), "../"+at)
	page := s.get(at).text
	for _, want := range []string{
		"Enqueue a copy of", `>c-1</textarea>`, `value="12345678901234567"`, `name="queue" value="vip"`, `max="3" value="3"`, "customer: acme\nnote: a: b</textarea>",
		`name="p.card" autocomplete="off" required`, "which stays as it is",
	} {
		assert.Contains(t, page, want)
	}
	assert.NotContains(t, page, "[redacted]")
	assert.NotContains(t, page, "nightly", "no schedule enqueues the copy")

	form := url.Values{
		"name": {"billing.Charge"}, "like": {id}, "p.customer": {"c-1"}, "p.cents": {"12345678901234567"}, "queue": {"vip"}, "priority": {"3"}, "tags": {"customer: acme\r\nnote: a: b\r\n"},
	}
	a := s.form("enqueue", form)
	require.Equal(t, http.StatusUnprocessableEntity, a.StatusCode)
	assert.Contains(t, a.text, "is redacted: type what the copy is to have")
	assert.Contains(t, a.text, "Enqueue a copy of", "it is still one")
	assert.Contains(t, a.text, "customer: acme")
	form.Set("p.card", "4242-4242")
	a = s.form("enqueue", form)
	require.Equal(t, http.StatusSeeOther, a.StatusCode, a.text)
	r := read[runtime.Record](t, s.get("api/tasks/"+strings.TrimSuffix(path.Base(a.Header.Get("Location")), "?did=enqueue")))
	assert.NotEqual(t, id, r.ID.String())
	assert.Equal(t, 3, r.Priority)
	assert.Equal(t, "vip", r.Queue)
	assert.Equal(t, map[string]string{"customer": "acme", "note": "a: b"}, map[string]string{"customer": r.Tags.Get("customer"), "note": r.Tags.Get("note")})
	assert.JSONEq(t, `{"customer":"c-1","cents":12345678901234567,"card":"[redacted]"}`, string(r.Args))

	for field, wrong := range map[string]string{"tags": "customer: [redacted]", "priority": "high"} {
		was := form.Get(field)
		form.Set(field, wrong)
		assert.Equal(t, http.StatusUnprocessableEntity, s.form("enqueue", form).StatusCode, field)
		form.Set(field, was)
	}
	form.Set("priority", "7")
	a = s.form("enqueue", form)
	assert.Equal(t, http.StatusUnprocessableEntity, a.StatusCode)
	assert.Contains(t, a.text, "it must be from 0 to 3")
	for _, wrong := range []string{`"priority":9`, `"tags":{"":"x"}`, `"queue":"a\u0000b"`} {
		a := s.post("api/tasks", `{"name":"mail.Send","args":{"to":"ann@example.com","subject":"s"},`+wrong+`}`)
		assert.Equal(t, http.StatusUnprocessableEntity, a.StatusCode, "%s: %s", wrong, a.text)
	}
}

type orderArgs struct {
	order struct {
		ID   int    `json:"id"`
		Card string `json:"card"`
	}
}

func (a *orderArgs) fields(f *wire.Fields) { f.Inline("order", &a.order) }

// TestEnqueue_ACopyOfAnObject: the redacted keys of an object have fields of their own.
func TestEnqueue_ACopyOfAnObject(t *testing.T) {
	task := glue.NewTask[orderArgs, runtime.Void](wire.Spec{
		Name: "shop.Order", Func: "Order", Params: []wire.Param{{Name: "order", Sig: "Order:1", Inline: true, Secret: []string{"card"}}},
	}, (*orderArgs).fields)
	e := memory.New(memory.Config{})
	app := runtime.New(e, runtime.Config{Logger: silent})
	t.Cleanup(func() { assert.NoError(t, e.Close()) })
	got := make(chan orderArgs, 1)
	glue.Register(app, task, func(_ *runtime.Context, a *orderArgs) (runtime.Void, error) {
		got <- *a
		return runtime.Void{}, nil
	})
	var a orderArgs
	a.order.ID, a.order.Card = 7, "4111-1111-7304"
	h, err := task.Call(a.fields, []runtime.Option{runtime.WithDelay(time.Hour)}).Enqueue(t.Context(), app)
	require.NoError(t, err)
	s := serve(t, app, web.Config{})
	s.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	page := s.get("enqueue?" + url.Values{"name": {"shop.Order"}, "like": {h.ID().String()}}.Encode()).text
	assert.Contains(t, page, "{\n  &#34;id&#34;: 7\n}</textarea>")
	assert.Contains(t, page, `type="password" name="s.card" autocomplete="off" required`)
	assert.NotContains(t, page, "[redacted]")
	w := s.form("enqueue", url.Values{"name": {"shop.Order"}, "like": {h.ID().String()}, "p.order": {`{"id": 7}`}, "s.card": {`42"42`}, "queue": {"default"}})
	require.Equal(t, http.StatusSeeOther, w.StatusCode, w.text)
	require.NoError(t, app.Start(t.Context()))
	t.Cleanup(func() { assert.NoError(t, app.Stop(t.Context())) })
	ran := <-got
	assert.Equal(t, 7, ran.order.ID)
	assert.Equal(t, `42"42`, ran.order.Card)
}

// TestEnqueue_ACopyIsOfferedWhereTheTaskIsKnown: a process that cannot enqueue it shows
// no button that leads nowhere.
func TestEnqueue_ACopyIsOfferedWhereTheTaskIsKnown(t *testing.T) {
	shop := newShop(t)
	id := stored(t, shop.App, webtest.Charge("c-1", 5, "4111"))
	assert.Contains(t, serve(t, shop.App, web.Config{}).get("tasks/"+id).text, "Enqueue a copy…")
	other := serve(t, runtime.New(shop.Engine(), runtime.Config{Logger: silent}), web.Config{})
	assert.NotContains(t, other.get("tasks/"+id).text, "Enqueue a copy…")
}

// TestEnqueue_ACopyOfWhatIsEncoded: the form is without arguments until they are decoded,
// by those who may, which the log tells.
func TestEnqueue_ACopyOfWhatIsEncoded(t *testing.T) {
	e := memory.New(memory.Config{})
	shop := webtest.NewWith(e, runtime.Config{Codec: plainCodec{}, Logger: silent})
	t.Cleanup(func() { assert.NoError(t, e.Close()) })
	id := stored(t, shop.App, webtest.Charge("customer-7", 5, "4111-1111"))
	var log logBuffer
	may := true
	s := serve(t, shop.App, web.Config{Logger: log.logger(), Allow: func(_ *http.Request, a web.Action) error {
		if a == web.Decode && !may {
			return http.ErrNotSupported
		}
		return nil
	}})
	at := "enqueue?" + url.Values{"name": {"billing.Charge"}, "like": {id}}.Encode()
	page := s.get(at).text
	assert.Contains(t, page, "Its arguments are encoded.")
	assert.Contains(t, page, "customer: acme", "tags are not")
	assert.NotContains(t, page, "customer-7")
	assert.NotContains(t, page, "sealed:")
	assert.NotContains(t, log.String(), "action=decode")
	decoded := "enqueue?" + url.Values{"name": {"billing.Charge"}, "like": {id}, "args": {"decoded"}}.Encode()
	assert.Contains(t, links(page), "./"+decoded)
	page = s.get(decoded).text
	assert.Contains(t, page, ">customer-7</textarea>")
	assert.NotContains(t, page, "4111")
	assert.Contains(t, log.String(), "action=decode")
	may = false
	assert.Equal(t, http.StatusForbidden, s.get(decoded).StatusCode)
	assert.Contains(t, s.get(at).text, "You may not decode them: type them.")
}
