package browser_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/internal/webtest"
	taskctx "github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/engines"
	"github.com/taskctx/taskctx/runtime/web"
)

// programs are the names that the browser may have.
var programs = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless_shell", "chrome"}

// startBrowser starts the browser once for all tests.
var startBrowser = sync.OnceValues(func() (context.Context, error) {
	path := os.Getenv("TASKCTX_BROWSER")
	for _, name := range programs {
		if path == "" {
			path, _ = exec.LookPath(name)
		}
	}
	if path == "" {
		return nil, fmt.Errorf("there is none of %s", strings.Join(programs, ", "))
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(time.Minute))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, stop := chromedp.NewContext(ctx)
	atEnd = append(atEnd, stop, cancel)
	return ctx, chromedp.Run(ctx)
})

var atEnd []func()

func TestMain(m *testing.M) {
	code := m.Run()
	for _, f := range atEnd {
		f()
	}
	os.Exit(code)
}

// tab is one tab of the browser.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu     sync.Mutex // guards what was seen
	wrong  []string   // errors of the console, exceptions, dialogs
	expect string     // of an error that the test causes
}

// newTab opens a tab of the size of a desk's screen, for the site at base.
func newTab(t *testing.T, base string) *tab {
	t.Helper()
	browser, err := startBrowser()
	if err != nil {
		if os.Getenv("TASKCTX_REQUIRE_BROWSER") == "1" {
			t.Fatalf("no browser: %v", err)
		}
		t.Skipf("no browser: %v", err)
	}
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, base: base}
	require.NoError(t, chromedp.Run(ctx)) // the tab lives as long as the context of its first call
	chromedp.ListenTarget(ctx, b.listen)
	b.run(log.Enable(), runtime.Enable(), emulation.SetTimezoneOverride("UTC"), chromedp.EmulateViewport(1440, 900))
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, w := range b.wrong {
			t.Error(w)
		}
	})
	return b
}

// listen notes what a page must not do.
func (b *tab) listen(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		b.wrong = append(b.wrong, "exception: "+ev.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.APITypeError {
			b.wrong = append(b.wrong, fmt.Sprintf("console: %s", ev.Args[0].Value))
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.LevelError && (b.expect == "" || !strings.Contains(ev.Entry.Text, b.expect)) {
			b.wrong = append(b.wrong, fmt.Sprintf("%s: %s %s", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL))
		}
	case *page.EventJavascriptDialogOpening:
		b.wrong = append(b.wrong, "a dialog: "+ev.Message)
	}
}

// run does the actions. One whose element a live page replaced before it was done is
// done again.
func (b *tab) run(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 3*time.Minute)
	defer cancel()
	for _, a := range actions {
		err := chromedp.Run(ctx, a)
		for again := 0; replaced(err) && again < 10; again++ {
			err = chromedp.Run(ctx, a)
		}
		require.NoError(b.t, err)
	}
}

// replaced reports whether the element was found, and was no more there when something
// was to be done with it.
func replaced(err error) bool {
	if err == nil {
		return false
	}
	text := strings.ToLower(err.Error())
	return slices.ContainsFunc([]string{
		"no node with given id", "could not find node with given id", "node is detached", "does not have a layout object",
		"could not compute box model", "does not belong to the document",
	}, func(s string) bool { return strings.Contains(text, s) })
}

// open opens a page.
func (b *tab) open(path string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 3*time.Minute)
	defer cancel()
	err := chromedp.Run(ctx, chromedp.Navigate(b.base+path))
	if err != nil && strings.Contains(err.Error(), "net::ERR_ABORTED") { // what was pressed before still led elsewhere
		err = chromedp.Run(ctx, chromedp.Navigate(b.base+path))
	}
	require.NoError(b.t, err)
	b.run(chromedp.WaitReady("main"))
}

// look makes the tab a phone or a desk, in the light or the dark.
func (b *tab) look(phone, dark bool) {
	b.t.Helper()
	width, height, scheme := int64(1440), int64(900), "light"
	if phone {
		width, height = 390, 844
	}
	if dark {
		scheme = "dark"
	}
	b.run(chromedp.EmulateViewport(width, height), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}))
}

// text is what the page says.
func (b *tab) text() string {
	b.t.Helper()
	var s string
	b.run(chromedp.Evaluate(`document.body.innerText`, &s))
	return s
}

// says waits until the page says something.
func (b *tab) says(what string) {
	b.t.Helper()
	var last string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err := chromedp.Run(b.ctx, chromedp.Evaluate(`document.body ? document.body.innerText : ""`, &last)); err == nil && strings.Contains(last, what) {
			return
		}
	}
	require.Failf(b.t, "missing", "the page does not say %q:\n%s", what, last)
}

// click clicks the first link or button with the text.
func (b *tab) click(what string) {
	b.t.Helper()
	b.run(chromedp.Click(fmt.Sprintf(`//main//*[self::a or self::button][contains(normalize-space(.), %q)]`, what), chromedp.BySearch))
}

// axe is the library that looks for what people cannot use.
var axe = sync.OnceValues(func() (string, error) {
	f, err := os.Open("testdata/axe.min.js.gz")
	if err != nil {
		return "", err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(z)
	return string(text), err
})

// accessible fails the test for each finding of axe on the page.
func (b *tab) accessible(name string) {
	b.t.Helper()
	script, err := axe()
	require.NoError(b.t, err)
	var found []string
	b.run(chromedp.Evaluate(script+";undefined", nil), chromedp.Evaluate(
		`axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.flatMap(v => v.nodes.map(n =>
			v.id + ": " + n.html.slice(0, 200) + " — " + n.failureSummary.replace(/\s+/g, " ").slice(0, 300))))`,
		&found, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	for _, f := range found {
		b.t.Errorf("%s: %s", name, f)
	}
}

// fits fails the test if the page must be scrolled sideways.
func (b *tab) fits(name string) {
	b.t.Helper()
	var over int
	b.run(chromedp.Evaluate(`document.scrollingElement.scrollWidth - innerWidth`, &over))
	if over > 0 {
		b.t.Errorf("%s is %d pixels wider than the screen", name, over)
	}
}

// picture is the page as an image.
func (b *tab) picture(whole bool) []byte {
	b.t.Helper()
	var png []byte
	if whole {
		b.run(chromedp.FullScreenshot(&png, 100))
	} else {
		b.run(chromedp.CaptureScreenshot(&png))
	}
	return png
}

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// engineURL is that of an empty engine.
func engineURL(t *testing.T, name string) string {
	t.Helper()
	switch name {
	case "sqlite":
		return "sqlite:" + t.TempDir() + "/tasks.db"
	case "postgres":
		url := servertest.Postgres(t)
		db, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		_, err = db.Exec(t.Context(), "DROP SCHEMA IF EXISTS taskctx CASCADE") // of the test before
		require.NoError(t, err)
		require.NoError(t, db.Close(t.Context()))
		return url
	case "redis":
		url, named := servertest.Redis(t)
		if named {
			t.Skip("the server is not the tests' own")
		}
		return url
	}
	return "memory:"
}

// newShop returns a shop that works on an engine.
func newShop(t *testing.T, name string) *webtest.Shop {
	t.Helper()
	e, err := engines.Open(t.Context(), engineURL(t, name))
	require.NoError(t, err)
	return shopOn(t, e)
}

func shopOn(t *testing.T, e engine.Engine) *webtest.Shop {
	t.Helper()
	s := webtest.New(e, silent)
	require.NoError(t, s.Start(t.Context()))
	t.Cleanup(func() {
		s.Done()
		require.NoError(t, s.Stop(context.Background()))
		require.NoError(t, e.Close())
	})
	return s
}

// serve serves the dashboard of a shop under a prefix.
func serve(t *testing.T, s *webtest.Shop, cfg web.Config, around ...func(http.Handler) http.Handler) string {
	t.Helper()
	return serveApp(t, s.App, cfg, around...)
}

func serveApp(t *testing.T, app *taskctx.App, cfg web.Config, around ...func(http.Handler) http.Handler) string {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = silent
	}
	var h http.Handler = web.Handler(app, cfg)
	for _, f := range around {
		h = f(h)
	}
	mux := http.NewServeMux()
	mux.Handle("/ops/tasks/", http.StripPrefix("/ops/tasks", h))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/ops/tasks/"
}
