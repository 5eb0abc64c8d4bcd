// Package webtest is an app with tasks of every state, for tests that look at
// them.
package webtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Shop is an app whose tasks do what their arguments say. Its methods may be
// called concurrently.
type Shop struct {
	*runtime.App
	// Release lets the reports that run go on, when it is closed.
	Release chan struct{}
	release sync.Once
	// Began gets a value whenever a report begins.
	Began chan struct{}
}

// Options of reports, as an example of a struct.
type Options struct {
	Format string   `json:"format"`
	Pages  []int    `json:"pages"`
	Share  *float64 `json:"share"`
}

type mailArgs struct{ to, subject, body string }

func (a *mailArgs) fields(f *wire.Fields) {
	f.String("to", &a.to)
	f.String("subject", &a.subject)
	f.String("body", &a.body)
}

var mailTask = glue.NewTask[mailArgs, runtime.Void](wire.Spec{
	Name: "mail.Send", Func: "Send", Queue: "mail", Retries: 2, Delay: wire.NoDelay,
	Params: []wire.Param{{Name: "to", Sig: "string"}, {Name: "subject", Sig: "string"}, {Name: "body", Sig: "string", Optional: true}},
}, (*mailArgs).fields)

// Mail sends a mail: to "gone..." it fails for good, to "slow..." it is retried
// in an hour.
func Mail(to, subject, body string, opts ...runtime.Option) runtime.Call[runtime.Void] {
	a := mailArgs{to, subject, body}
	return mailTask.Call(a.fields, opts)
}

func (s *Shop) mail(ctx *runtime.Context, a *mailArgs) (runtime.Void, error) {
	ctx.Logger().Info("connected", "host", "smtp.example.com", "tls", true)
	switch {
	case len(a.to) > 4 && a.to[:4] == "gone":
		return runtime.Void{}, runtime.Permanent(fmt.Errorf("smtp: 550 mailbox %q is unavailable", a.to))
	case len(a.to) > 4 && a.to[:4] == "slow":
		return runtime.Void{}, runtime.RetryAfter(time.Hour, errors.New("smtp: 451 try again later"))
	case len(a.to) > 4 && a.to[:4] == "boom":
		panic("no template " + a.subject)
	}
	return runtime.Void{}, nil
}

type chargeArgs struct {
	customer string
	cents    int64
	card     string
}

func (a *chargeArgs) fields(f *wire.Fields) {
	f.String("customer", &a.customer)
	f.Int64("cents", &a.cents)
	f.String("card", &a.card)
}

var chargeTask = glue.NewTask[chargeArgs, int64](wire.Spec{
	Name: "billing.Charge", Func: "Charge", Queue: "billing", Retries: 1, Delay: wire.NoDelay,
	Params: []wire.Param{{Name: "customer", Sig: "string"}, {Name: "cents", Sig: "int64"}, {Name: "card", Sig: "string", Redact: true}},
}, (*chargeArgs).fields)

// Charge charges a card: over 9,999 cents the bank refuses.
func Charge(customer string, cents int64, card string, opts ...runtime.Option) runtime.Call[int64] {
	a := chargeArgs{customer, cents, card}
	return chargeTask.Call(a.fields, opts)
}

func (s *Shop) charge(ctx *runtime.Context, a *chargeArgs) (int64, error) {
	if a.cents > 9_999 {
		ctx.Logger().Warn("the bank refuses", "cents", a.cents)
		return 0, fmt.Errorf("card of customer %s was declined: insufficient funds", a.customer)
	}
	return a.cents, nil
}

type reportArgs struct {
	year    int
	draft   bool
	options Options
}

func (a *reportArgs) fields(f *wire.Fields) {
	f.Int("year", &a.year)
	f.Bool("draft", &a.draft)
	f.JSON("options", &a.options)
}

var reportTask = glue.NewTask[reportArgs, map[string]int](wire.Spec{
	Name: "report.Build", Func: "Build", Queue: "reports", Retries: 3, Delay: wire.NoDelay, Timeout: time.Hour,
	Params: []wire.Param{{Name: "year", Sig: "int"}, {Name: "draft", Sig: "bool"}, {Name: "options", Sig: "Options:12345678"}},
}, (*reportArgs).fields)

// Report builds a report: it runs until the shop is released.
func Report(year int, opts ...runtime.Option) runtime.Call[map[string]int] {
	share := 0.5
	a := reportArgs{year: year, options: Options{Format: "pdf", Pages: []int{1, 2, 3}, Share: &share}}
	return reportTask.Call(a.fields, opts)
}

func (s *Shop) report(ctx *runtime.Context, a *reportArgs) (map[string]int, error) {
	ctx.Progress(7, 12, fmt.Sprintf("month 7 of %d", a.year))
	ctx.Logger().Info("reading the ledger", "year", a.year)
	select {
	case s.Began <- struct{}{}:
	default:
	}
	select {
	case <-s.Release:
		return map[string]int{"pages": 12, "year": a.year}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

type bookArgs struct{ title string }

func (a *bookArgs) fields(f *wire.Fields) { f.String("title", &a.title) }

var bookTask = glue.NewTask[bookArgs, string](wire.Spec{
	Name: "press.Publish", Func: "Publish", Queue: "reports", Retries: 2, Delay: wire.NoDelay, Durable: true,
	Params: []wire.Param{{Name: "title", Sig: "string"}},
}, (*bookArgs).fields)

type scanArgs struct{ customer string }

func (a *scanArgs) fields(f *wire.Fields) { f.String("customer", &a.customer) }

var scanTask = glue.NewTask[scanArgs, runtime.Void](wire.Spec{
	Name: "scan.Inbox", Func: "Inbox", Queue: "reports", Retries: 2, Delay: wire.NoDelay,
	LimitBy: []wire.LimitBy{{Param: "customer", Most: 1}},
	Params:  []wire.Param{{Name: "customer", Sig: "string"}},
}, (*scanArgs).fields)

// Scan looks through a customer's inbox, one of a customer at a time: it runs until
// the shop is released.
func Scan(customer string, opts ...runtime.Option) runtime.Call[runtime.Void] {
	a := scanArgs{customer}
	return scanTask.Call(a.fields, opts)
}

func (s *Shop) scan(ctx *runtime.Context, _ *scanArgs) (runtime.Void, error) {
	select {
	case <-s.Release:
		return runtime.Void{}, nil
	case <-ctx.Done():
		return runtime.Void{}, context.Cause(ctx)
	}
}

// Queue enqueues n scans of one customer, of which one can run, where the engine has
// limits.
func (s *Shop) Queue(ctx context.Context, n int) error {
	for range n {
		_, err := Scan("acme").Enqueue(ctx, s.App)
		if errors.Is(err, runtime.ErrUnsupported) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Approved is the signal that a book waits for.
var Approved = runtime.NewSignal[string]("approved")

// Book publishes a book: it is drafted, three mails are its children,
// one of which fails, and then it waits to be approved. It is durable.
func Book(title string, opts ...runtime.Option) runtime.Call[string] {
	a := bookArgs{title}
	return bookTask.Call(a.fields, opts)
}

func (s *Shop) book(ctx *runtime.Context, a *bookArgs) (string, error) {
	draft, err := runtime.Step(ctx, "draft", func(*runtime.Context) (string, error) { return "Draft of " + a.title, nil })
	if err != nil {
		return "", err
	}
	var mails []*runtime.Future[runtime.Void]
	for _, to := range []string{"ann", "bob", "gone"} {
		mails = append(mails, runtime.Spawn(ctx, "mail/"+to, Mail(to+"@example.com", draft, "")))
	}
	if _, err := runtime.AwaitEnds(ctx, mails...); err != nil {
		return "", err
	}
	by, err := Approved.Await(ctx, 72*time.Hour)
	if err != nil {
		return "", err
	}
	return a.title + ", approved by " + by, nil
}

// Done lets the reports that run go on.
func (s *Shop) Done() { s.release.Do(func() { close(s.Release) }) }

// New returns the shop on an engine. It is not started.
func New(engine engine.Engine, logger *slog.Logger) *Shop {
	return NewWith(engine, runtime.Config{
		Workers: 4, KeepLogs: 100, Logger: logger, ShutdownTimeout: time.Second, SkipUnsupported: true,
		Queues: []string{"mail", "billing", "reports"},
	})
}

// NewWith is New with a configuration.
func NewWith(engine engine.Engine, cfg runtime.Config) *Shop {
	s := &Shop{App: runtime.New(engine, cfg), Release: make(chan struct{}), Began: make(chan struct{}, 16)}
	glue.Register(s.App, mailTask, s.mail)
	glue.Register(s.App, chargeTask, s.charge)
	glue.Register(s.App, reportTask, s.report)
	glue.Register(s.App, bookTask, s.book)
	glue.Register(s.App, scanTask, s.scan)
	addStock(s.App)
	runtime.Every(s.App, runtime.Interval(24*time.Hour), Mail("ann@example.com", "The day's orders", ""), runtime.EveryName("daily digest"))
	return s
}

// Fill enqueues tasks that will be in every state, each of them n times, and
// waits for those that end. The app must be started.
func (s *Shop) Fill(ctx context.Context, n int) error {
	var ended []func(context.Context) error
	enqueue := func(c runtime.Caller, await bool) error {
		h, err := runtime.Call[runtime.Void]{AnyCall: runtime.Plain(c)}.Enqueue(ctx, s.App)
		if err == nil && await {
			ended = append(ended, func(ctx context.Context) error {
				_, err := h.Wait(ctx)
				if task := new(runtime.TaskError); errors.As(err, &task) {
					return nil
				}
				return err
			})
		}
		return err
	}
	var errs []error
	for i := range n {
		who := fmt.Sprintf("%s%d@example.com", []string{"ann", "bob", "gone", "eve"}[i%4], i)
		errs = append(errs,
			enqueue(Mail(who, "Your order", "Thank you."), true),
			enqueue(Charge(fmt.Sprintf("c-%d", i), int64(1000+i%3*9000), "4111-1111-1111-1111"), true),
		)
	}
	for i := range 2 {
		_, err := Mail(fmt.Sprintf("slow%d@example.com", i), "Reminder", "").Enqueue(ctx, s.App)
		errs = append(errs, err)
		_, err = Report(2020+i, runtime.WithTag("customer", "acme"), runtime.WithTag("plan", "pro")).Enqueue(ctx, s.App)
		errs = append(errs, err)
		_, err = Mail(fmt.Sprintf("later%d@example.com", i), "Newsletter", "", runtime.WithDelay(48*time.Hour)).Enqueue(ctx, s.App)
		errs = append(errs, err)
		_, err = Mail("nobody@example.com", "Unserved", "", runtime.WithQueue("archive")).Enqueue(ctx, s.App)
		errs = append(errs, err)
		h, err := Charge("c-off", 1, "4111-1111-1111-1111", runtime.WithDelay(time.Hour)).Enqueue(ctx, s.App)
		if err == nil {
			err = s.Cancel(ctx, h.ID(), "the order was withdrawn")
		}
		errs = append(errs, err)
	}
	errs = append(errs, enqueue(Mail("boom@example.com", "welcome", ""), true))
	for _, wait := range ended {
		errs = append(errs, wait(ctx))
	}
	return errors.Join(errs...)
}

// Count adds to the history what a day of the shop would: some mails a minute, of
// which some fail, more so in the last minutes.
func (s *Shop) Count(ctx context.Context, now time.Time) error {
	h, ok := engine.As[engine.Historian](s.Engine())
	if !ok {
		return nil
	}
	var ts []engine.Tally
	add := func(at time.Time, kind string, n int) {
		for _, step := range engine.HistorySteps() {
			ts = append(ts, engine.Tally{Step: step, At: at.Truncate(step), Kind: kind, Tasks: int64(n)})
			if step > time.Minute && (kind == engine.HistorySucceeded || kind == engine.HistoryFailed) {
				ts = append(ts, engine.Tally{Step: step, At: at.Truncate(step), Queue: "mail", Kind: kind, Tasks: int64(n)})
			}
		}
	}
	for i := range 24 * 60 {
		at := now.UTC().Add(-time.Duration(i) * time.Minute)
		busy := 40 + at.Hour()*3 + i*7%23 // as a day has more and less
		failed := i * 5 % 3
		if i < 12 {
			failed = 20 + i
		}
		add(at, engine.HistorySucceeded, busy)
		add(at, engine.HistoryFailed, failed)
		add(at, engine.HistoryRetried, failed/2)
		for class, n := range []int{busy / 8, busy / 4, busy / 3, busy / 4, busy / 16, 1 + i%3} {
			add(at, fmt.Sprintf("%s.%d", engine.HistoryRan, class+4+i/200), n)
			add(at, fmt.Sprintf("%s.%d", engine.HistoryWaited, class+2+i%90/30), n)
		}
	}
	return h.AddHistory(ctx, ts)
}
