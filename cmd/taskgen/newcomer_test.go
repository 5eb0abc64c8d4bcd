package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// A newcomer has README.md, an empty module somewhere, and what she wants to
// build. She follows the one, writes the other, and runs it; then she makes one
// mistake after another, and has nothing but what taskgen says to mend each.
func TestNewcomer(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs the go command some fifty times")
	}
	u := newUser(t)
	for _, command := range u.readme(t, "## Use it", 0) {
		u.must(t, command...)
	}
	shop, err := txtar.ParseFile("../../testdata/newcomer/shop.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range shop.Files {
		u.write(t, f.Name, string(f.Data))
	}
	u.must(t, "go", "get", "./...")
	u.must(t, "go", "generate", "./...")
	u.must(t, "go", "vet", "./...")
	made := u.read(t, "tasks_gen.go")
	t.Run("it runs", func(t *testing.T) { u.runs(t) })
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) { u.mistake(t, m) })
	}
	t.Run("a supply is missing", func(t *testing.T) { u.forgetsSupply(t) })
	t.Run("a wrong argument", func(t *testing.T) { u.wrongArgument(t) })
	t.Run("a conflict in the generated file", func(t *testing.T) {
		half := len(made) / 2
		u.write(t, "tasks_gen.go", made[:half]+"\n<<<<<<< ours\n=======\n>>>>>>> theirs\n"+made[half:])
		u.must(t, "go", "generate", "./...")
		if u.read(t, "tasks_gen.go") != made {
			t.Error("it is not as it was")
		}
	})
	t.Run("a change that strands tasks", func(t *testing.T) { u.strandsTasks(t) })
}

// Somebody has a clone, and a proxy that refuses to tell of a module that it does
// not know, where others say that there is none.
func TestNewcomer_WithAClone(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs the go command")
	}
	u := newUser(t)
	u.must(t, "go", "mod", "edit", "-dropreplace", "github.com/taskctx/taskctx")
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "ask your administrator", http.StatusForbidden)
	}))
	defer proxy.Close()
	u.env = append(u.env, "GOPROXY="+proxy.URL)
	for _, command := range u.readme(t, "## Use it", 1) {
		for i, word := range command {
			command[i] = strings.Replace(word, "/path/to/clone", u.repo, 1)
		}
		if command[len(command)-1] == "tidy" {
			command = append(command, "-e") // what the tests of dependencies need is not here
		}
		u.must(t, command...)
	}
	u.write(t, "shop.go", "package shop\n\nimport \"context\"\n\n//task:context\nfunc Ping(ctx context.Context) error { return nil }\n")
	u.must(t, "go", "tool", "taskgen")
	u.must(t, "go", "mod", "tidy", "-e")
	u.must(t, "go", "vet", "./...")
}

// mistake is made in tasks.go, by putting one text in the place of another.
type mistake struct {
	name, from, to string
	// at is where taskgen must point, in the wrong file.
	at string
	// offers is what she copies from what taskgen says into the mend, which is
	// again to put one text in the place of another.
	offers, mendFrom, mendTo string
}

var mistakes = []mistake{
	{
		"a misspelt key", "retries=2", "retrys=2", "retrys=2", "retries=", "retrys=", "retries=",
	},
	{
		"a space in a directive", "//task:context retries=0\nfunc Cancel", "// task:context retries=0\nfunc Cancel",
		"// task:context retries=0", "//task:context retries=0", "// task:context retries=0", "//task:context retries=0",
	},
	{
		"no context", "func ping(ctx context.Context)", "func ping()", "ping()",
		"func ping(ctx context.Context)", "func ping()", "func ping(ctx context.Context)",
	},
	{
		"the context is not a pointer", "PlaceOrder(ctx *ShopContext", "PlaceOrder(ctx ShopContext", "ShopContext, order",
		"*ShopContext", "PlaceOrder(ctx ShopContext", "PlaceOrder(ctx *ShopContext",
	},
	{
		"a provider without its directive", "//task:provide task\n", "", "Tx    *sql.Tx", "//task:provide",
		"func beginTx", "//task:provide task\nfunc beginTx",
	},
	{
		"a scope that outlives its context", "//task:provide task\n", "//task:provide worker\n", "ctx *runtime.Context, db",
		"//task:provide task", "//task:provide worker\nfunc beginTx", "//task:provide task\nfunc beginTx",
	},
	{
		"two providers of one type", "type Mailer interface",
		"//task:provide worker\nfunc noon() Clock { return nil }\n\ntype Mailer interface", "Clock Clock\n", "`task:\"by=newClock\"`", "Clock Clock\n", "Clock Clock `task:\"by=newClock\"`\n",
	},
	{
		"a misspelt tag", `task:"supply"`, `task:"suply"`, "`task:\"suply\"`", "supply", "suply", "supply",
	},
	{
		"a parameter that is not there", "redact=code", "redact=secret", "secret", "code", "redact=secret", "redact=code",
	},
	{
		"a number without a unit", "timeout=5s", "timeout=5", "5\nfunc countOrders", "timeout=5s", "timeout=5\n", "timeout=5s\n",
	},
	{
		"two tasks of one name", "unique=1m", "unique=1m name=shop.PlaceOrder", "name=shop.PlaceOrder", "alias=",
		"name=shop.PlaceOrder", "name=shop.Receipt alias=shop.SendReceipt",
	},
	{
		"a result without an error", "(string, error) { return ctx.Metadata().Name, nil }", "string { return ctx.Metadata().Name }",
		"string { return ctx", "(string, error)", "string { return ctx.Metadata().Name }",
		"(string, error) { return ctx.Metadata().Name, nil }",
	},
	{
		"a type that JSON cannot bring back", "to string, total int64", "to error, total int64", "error, total",
		"string", "to error, total int64", "to string, total int64",
	},
}

// user is somebody with a module of her own.
type user struct {
	dir, repo string
	env       []string
}

// newUser makes an empty module, with this one in the place of a release.
func newUser(t *testing.T) *user {
	t.Helper()
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	// The newcomer's machine is offline: what she needs is here then.
	if out, err := exec.Command("go", "list", "-deps", "modernc.org/sqlite", "./...").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	u := &user{dir: t.TempDir(), repo: repo}
	u.env = append(os.Environ(), "GOPROXY=off", "GOSUMDB=off", "GOWORK=off", "GOFLAGS=",
		"TASKGENCACHE="+filepath.Join(t.TempDir(), "cache"))
	u.must(t, "go", "mod", "init", "shop.test")
	u.must(t, "go", "mod", "edit", "-replace", "github.com/taskctx/taskctx="+repo)
	return u
}

// readme returns the commands of the nth block of shell code after a heading.
func (u *user) readme(t *testing.T, heading string, nth int) (commands [][]string) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "\n"+heading+"\n")
	for range nth + 1 {
		_, after, _ = strings.Cut(after, "\n```sh\n")
	}
	block, _, ok := strings.Cut(after, "```")
	for line := range strings.Lines(block) {
		commands = append(commands, strings.Fields(line))
	}
	if !ok || len(commands) == 0 {
		t.Fatalf("README.md has no commands below %s", heading)
	}
	return commands
}

// run runs a command in the module, and returns what it prints.
func (u *user) run(args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = u.dir, u.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (u *user) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := u.run(args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// fails runs a command that must fail, and returns what it says.
func (u *user) fails(t *testing.T, args ...string) string {
	t.Helper()
	out, err := u.run(args...)
	if _, ok := errors.AsType[*exec.ExitError](err); !ok {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (u *user) write(t *testing.T, name, text string) {
	t.Helper()
	name = filepath.Join(u.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func (u *user) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(u.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// edit puts one text in the place of another, which must be there once.
func (u *user) edit(t *testing.T, name, from, to string) {
	t.Helper()
	text := u.read(t, name)
	if n := strings.Count(text, from); n != 1 {
		t.Fatalf("%s has %q %d times", name, from, n)
	}
	u.write(t, name, strings.Replace(text, from, to, 1))
}

// place returns the file, line and column of the text in the file.
func (u *user) place(t *testing.T, name, text string) string {
	t.Helper()
	before, _, ok := strings.Cut(u.read(t, name), text)
	if !ok {
		t.Fatalf("%s has no %q", name, text)
	}
	line := strings.Count(before, "\n") + 1
	column := len(before) - strings.LastIndex(before, "\n")
	return fmt.Sprintf("%s:%d:%d: ", name, line, column)
}
