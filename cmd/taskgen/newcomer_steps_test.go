package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const shopOutput = `PlaceOrder: 150, error: <nil>
CancelOrder: {}, error: task shop.CancelOrder ID failed: no reason given
BreakOrder: {}, error: task shop.BreakOrder ID failed: panic: broken o1
Orphan: {}, error: task shop.Orphan ID failed: close shop.beginTx: constraint failed: FOREIGN KEY constraint failed (787)
countOrders: 1, error: <nil>
mail to ann: you paid 150
SendReceipt: {}, error: <nil>
mail to ann: your code
SendCode: {}, error: <nil>
mail to ann: news
mail to ben: news
newsletter: 2, error: <nil>
ping: {}, error: <nil>
Whoami: shop.Whoami, error: <nil>
`

var taskID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// runs runs the program: its transactions commit on nil, roll back on an error
// and a panic, and fail their task when they cannot commit.
func (u *user) runs(t *testing.T) {
	defer os.Remove(filepath.Join(u.dir, "shop.db"))
	out := u.must(t, "go", "run", "./cmd/shop")
	var got strings.Builder // without the log, which is on the same terminal
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "20") {
			got.WriteString(taskID.ReplaceAllString(line, "ID"))
		}
	}
	if got.String() != shopOutput {
		t.Errorf("it prints\n%s\nnot\n%s", got.String(), shopOutput)
	}
}

// mistake makes a mistake, reads what taskgen says, and does that.
func (u *user) mistake(t *testing.T, m mistake) {
	good, made := u.read(t, "tasks.go"), u.read(t, "tasks_gen.go")
	t.Cleanup(func() {
		u.write(t, "tasks.go", good)
		u.write(t, "tasks_gen.go", made)
	})
	u.edit(t, "tasks.go", m.from, m.to)
	out := u.fails(t, "go", "generate", "./...")
	if at := u.place(t, "tasks.go", m.at); !strings.Contains(out, at) {
		t.Errorf("it does not point to %s, where it says %.20q:\n%s", at, m.at, out)
	}
	if !strings.Contains(out, m.offers) || !strings.Contains(m.mendTo, m.offers) {
		t.Errorf("it does not offer %q:\n%s", m.offers, out)
	}
	if u.read(t, "tasks_gen.go") != made {
		t.Error("the generated file was written")
	}
	u.edit(t, "tasks.go", m.mendFrom, m.mendTo)
	u.must(t, "go", "generate", "./...")
	u.compiles(t)
	if u.read(t, "tasks.go") == good && u.read(t, "tasks_gen.go") != made {
		t.Error("the source is as it was, and the generated file is not")
	}
}

// forgetsSupply leaves out a supply: the app does not start, and shows the call.
func (u *user) forgetsSupply(t *testing.T) {
	const name, call = "cmd/shop/main.go", "runtime.Supply[shop.Mailer](app, "
	good := u.read(t, name)
	defer u.write(t, name, good)
	defer os.Remove(filepath.Join(u.dir, "shop.db"))
	u.edit(t, name, call+"printer{})", "runtime.Supply(app, printer{})")
	out := u.fails(t, "go", "run", "./cmd/shop")
	if !strings.Contains(out, "*shop.MailContext needs a shop.Mailer: call "+call) {
		t.Errorf("it does not show the call:\n%s", out)
	}
}

// wrongArgument passes an argument of another type: the compiler says where.
func (u *user) wrongArgument(t *testing.T) {
	const name = "cmd/shop/main.go"
	good := u.read(t, name)
	defer u.write(t, name, good)
	u.edit(t, name, `SendReceipt(ctx, app, "ann", 150)`, `SendReceipt(ctx, app, "ann", "150")`)
	out := u.fails(t, "go", "build", "./...")
	if at := u.place(t, name, `"150"`); !strings.Contains(out, at) {
		t.Errorf("it does not point to %s:\n%s", at, out)
	}
}

// strandsTasks changes a parameter while tasks.lock is kept.
func (u *user) strandsTasks(t *testing.T) {
	good := u.read(t, "tasks.go")
	u.must(t, "go", "tool", "taskgen", "-lock")
	u.edit(t, "tasks.go", "SendReceipt(ctx *MailContext, to string, total int64)",
		"SendReceipt(ctx *MailContext, to string, total int64, note string)")
	out := u.fails(t, "go", "generate", "./...")
	if at := u.place(t, "tasks.go", "note string"); !strings.Contains(out, at) || !strings.Contains(out, "optional=note") {
		t.Errorf("it does not point to %s and offer optional=note:\n%s", at, out)
	}
	u.edit(t, "tasks.go", "unique=1m", "unique=1m optional=note")
	u.must(t, "go", "generate", "./...")
	out = u.fails(t, "go", "tool", "taskgen", "-check")
	if !strings.Contains(out, "+shop.SendReceipt") || !strings.Contains(out, "taskgen -lock ./...") {
		t.Errorf("it does not say that tasks.lock lacks the parameter, and what to run:\n%s", out)
	}
	u.must(t, "go", "tool", "taskgen", "-lock", "./...")
	u.must(t, "go", "tool", "taskgen", "-check")
	u.write(t, "tasks.go", good)
	u.must(t, "go", "tool", "taskgen", "-lock")
	u.must(t, "go", "generate", "./...")
	u.compiles(t)
}

// compiles compiles all packages. It links no program, which go build does.
func (u *user) compiles(t *testing.T) {
	t.Helper()
	u.must(t, "go", "list", "-export", "./...")
}
