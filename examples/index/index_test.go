package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

// asCommand, in the environment, makes the test's program be the command.
const asCommand = "INDEX_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// tree writes n text files of three lines, and files that cannot be indexed.
func tree(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		write(t, filepath.Join(dir, fmt.Sprintf("d%d", i%7), fmt.Sprintf("f%d.txt", i)),
			fmt.Sprintf("first line\n\tword_%d is hëre\nshared last", i))
	}
	write(t, filepath.Join(dir, "empty.txt"), "")
	write(t, filepath.Join(dir, "latin1.txt"), "caf\xe9")
	write(t, filepath.Join(dir, "zero.bin"), "a\x00b")
	write(t, filepath.Join(dir, "name\xff.txt"), "text")
	write(t, filepath.Join(dir, ".git", "hidden"), "hidden")
	if err := os.Symlink(dir, filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// broken is how many files of a tree fail, and good how many do not, beside n.
const broken, good = 3, 1

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// run runs the command in this process.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := command(t.Context(), args, &out, t.Output())
	return out.String(), err
}

// content returns the text that the index has, by path.
func content(t *testing.T, db string) map[string]string {
	t.Helper()
	d := openTest(t, db)
	defer d.Close()
	rows, err := d.Query(`SELECT path, content FROM files LEFT JOIN text ON text.rowid = files.id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	got := make(map[string]string)
	for rows.Next() {
		var path string
		var text sql.NullString
		if err := rows.Scan(&path, &text); err != nil {
			t.Fatal(err)
		}
		if !text.Valid {
			t.Errorf("%s has no text", path)
		}
		got[path] = text.String
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	var texts int
	if err := d.QueryRow(`SELECT count(*) FROM text`).Scan(&texts); err != nil || texts != len(got) {
		t.Errorf("%d texts for %d files, error %v", texts, len(got), err)
	}
	if _, err := d.Exec(`INSERT INTO text (text) VALUES ('integrity-check')`); err != nil {
		t.Errorf("integrity of the index: %v", err)
	}
	return got
}

func openTest(t *testing.T, db string) *sql.DB {
	t.Helper()
	d, err := openIndex(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestIndex_AndSearch(t *testing.T) {
	dir, db := tree(t, 20), filepath.Join(t.TempDir(), "a b?#%.db")
	out, err := run(t, "-db", db, "-workers", "3", "-v", dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"files    24\n", "indexed  21\n", "skipped  0,", "failed   3\n", "words    140\n",
		"1 failed: not UTF-8 text\n  \"" + dir + "/latin1.txt\"\n",
		"1 failed: not text: it has a NUL byte\n  \"" + dir + "/zero.bin\"\n",
		"1 failed: its name is not UTF-8\n  \"" + dir + "/name\\xff.txt\"\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the summary lacks %q:\n%s", want, out)
		}
	}
	if got := len(content(t, db)); got != 20+good {
		t.Errorf("%d files in the index, not %d", got, 20+good)
	}
	for word, want := range map[string]string{
		"word_3":      dir + "/d3/f3.txt:2: word_3 is hëre\n",
		"WORD_3":      dir + "/d3/f3.txt:2: word_3 is hëre\n",
		"word_4 is":   dir + "/d4/f4.txt:2: word_4 is hëre\n",
		"word_":       "",
		"here":        "",
		"hidden":      "",
		`"`:           "",
		"first OR is": "",
		"wor*":        "",
	} {
		out, err := run(t, "search", "-db", db, word)
		if out != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, errNotFound) {
			t.Errorf("search %s: %q, %v; want %q", word, out, err, want)
		}
	}
	out, err = run(t, "search", "-db", db, "shared")
	if n := strings.Count(out, ".txt:3: shared last\n"); n != 20 || err != nil {
		t.Errorf("search shared: %d lines, %v", n, err)
	}
}

func TestIndex_SecondRunBringsUpToDate(t *testing.T) {
	dir, db := tree(t, 10), filepath.Join(t.TempDir(), "index.db")
	if _, err := run(t, "-db", db, dir); err != nil {
		t.Fatal(err)
	}
	changed, touched, gone := dir+"/d1/f1.txt", dir+"/d2/f2.txt", dir+"/d3/f3.txt"
	write(t, changed, "quite new")
	if err := errors.Join(os.Chtimes(touched, time.Time{}, time.Unix(1e9, 0)), os.Remove(gone)); err != nil {
		t.Fatal(err)
	}
	want := content(t, db)
	want[changed] = "quite new"
	delete(want, gone)
	out, err := run(t, "-db", db, dir)
	for _, line := range []string{"files    13\n", "indexed  1\n", "skipped  9,", "failed   3\n", "removed  1,", "words    2\n"} {
		if err != nil || !strings.Contains(out, line) {
			t.Errorf("second run: %v, lacks %q:\n%s", err, line, out)
		}
	}
	if d := cmp.Diff(want, content(t, db)); d != "" {
		t.Errorf("the index differs (-want +got):\n%s", d)
	}
	out, _ = run(t, "-db", db, dir)
	if !strings.Contains(out, "skipped  10,") {
		t.Errorf("third run:\n%s", out)
	}
}

// stopAt is a progress that ends the run after n files.
type stopAt struct {
	n    int
	stop context.CancelFunc
}

func (s *stopAt) step() {
	if s.n--; s.n == 0 {
		s.stop()
	}
}
func (*stopAt) end() {}

func TestIndex_InterruptedRunsMakeTheSameIndex(t *testing.T) {
	const files = 400
	dir := tree(t, files)
	whole, parts := filepath.Join(t.TempDir(), "whole.db"), filepath.Join(t.TempDir(), "parts.db")
	if _, err := run(t, "-db", whole, "-workers", "4", dir); err != nil {
		t.Fatal(err)
	}
	runs, sum := 0, 0
	for interrupted := true; interrupted; runs++ {
		if runs > 100 {
			t.Fatal("the runs make no progress")
		}
		ctx, stop := context.WithCancel(t.Context())
		s, err := indexFolder(ctx, dir, indexOptions{
			appOptions: appOptions{engine: memoryURL, db: parts, workers: 4, log: slog.New(slog.DiscardHandler)},
			progress:   func(int) progress { return &stopAt{90, stop} },
		})
		stop()
		interrupted = errors.Is(err, errInterrupted)
		if err != nil && !interrupted {
			t.Fatal(err)
		}
		sum += s.added
		if had := len(content(t, parts)); had != sum || s.skipped+s.added != sum {
			t.Errorf("after run %d: %d files in the index, %d reported, %d skipped in this run", runs, had, sum, s.skipped)
		}
		if (s.unfinished() > 0) != interrupted {
			t.Errorf("run %d: interrupted %t with %d files left", runs, interrupted, s.unfinished())
		}
	}
	if runs < 3 {
		t.Errorf("only %d runs: nothing was interrupted", runs)
	}
	if d := cmp.Diff(content(t, whole), content(t, parts)); d != "" {
		t.Errorf("the index differs from that of one run:\n%s", d)
	}
}

// TestIndex_CtrlC interrupts the command itself while the index is locked, so that
// it surely has work left.
func TestIndex_CtrlC(t *testing.T) {
	dir, db := tree(t, 100), filepath.Join(t.TempDir(), "index.db")
	d := openTest(t, db)
	defer d.Close()
	lock, err := d.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Rollback()

	cmd := exec.CommandContext(t.Context(), os.Args[0], "-db", db, "-workers", "2", dir)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var out bytes.Buffer
	cmd.Stdout = &out
	notes, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(notes)
	if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "indexing ") {
		t.Fatalf("the command said %q, %v", line, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(lines)
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Fatalf("the command ended with %v\n%s%s", err, rest, out.String())
	}
	var added, left int
	_, _ = fmt.Sscanf(after(out.String(), "indexed"), "%d", &added)
	_, _ = fmt.Sscanf(after(out.String(), "stopped with"), "%d", &left)
	if left == 0 || added != len(content(t, db)) {
		t.Errorf("%d files are in the index; the command said:\n%s%s", len(content(t, db)), rest, out.String())
	}
	if _, err := run(t, "-db", db, dir); err != nil {
		t.Fatal(err)
	}
	if got := len(content(t, db)); got != 100+good {
		t.Errorf("after the second run %d files are in the index", got)
	}
}

func after(s, mark string) string {
	_, s, _ = strings.Cut(s, mark)
	return s
}

func TestIndex_FailuresLoseNothingElse(t *testing.T) {
	dir, db := tree(t, 5), filepath.Join(t.TempDir(), "index.db")
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Workers: 2, Logger: slog.New(slog.DiscardHandler)})
	RegisterTasks(app)
	runtime.Supply(app, IndexFile(db))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer app.Stop(context.WithoutCancel(t.Context()))
	add := func(path string, opts ...runtime.Option) error {
		h, err := EnqueueAddFile(t.Context(), app, path, opts...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.Wait(t.Context())
		return err
	}
	path := dir + "/d1/f1.txt"
	if err := add(path); err != nil {
		t.Fatal(err)
	}
	want := content(t, db)
	for bad, reason := range map[string]string{
		dir:                 "not a regular file",
		dir + "/no":         "no such file",
		dir + "/latin1.txt": "not UTF-8",
		dir + "/zero.bin":   "NUL",
	} {
		if err := add(bad); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v, want %q", bad, err, reason)
		}
	}
	write(t, path, "\xff")
	if err := add(path); err == nil {
		t.Error("a file that became unreadable was indexed")
	}
	if d := cmp.Diff(want, content(t, db)); d != "" {
		t.Errorf("the failures changed the index:\n%s", d)
	}

	// The second statement of the transaction fails: the first is undone.
	d := openTest(t, db)
	defer d.Close()
	if _, err := d.Exec(`ALTER TABLE text RENAME TO away`); err != nil {
		t.Fatal(err)
	}
	if err := add(dir+"/d2/f2.txt", runtime.WithRetries(0)); err == nil {
		t.Error("a file was indexed without the table for its text")
	}
	if _, err := d.Exec(`ALTER TABLE away RENAME TO text`); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, content(t, db)); d != "" {
		t.Errorf("the failed transaction changed the index:\n%s", d)
	}
	for i := range 5 {
		if err := add(fmt.Sprintf("%s/d%d/f%[2]d.txt", dir, i)); (err != nil) != (i == 1) {
			t.Errorf("file %d: %v", i, err)
		}
	}
	if got := len(content(t, db)); got != 5 {
		t.Errorf("%d files in the index", got)
	}
}

func TestCommand_Usage(t *testing.T) {
	dir := t.TempDir()
	db := filepath.Join(dir, "index.db")
	newer := filepath.Join(dir, "newer.db")
	d := openTest(t, newer)
	if _, err := d.Exec(`PRAGMA user_version = 7`); err != nil {
		t.Fatal(err)
	}
	d.Close()
	write(t, filepath.Join(dir, "other.db"), "this is no database, it is a text file, and long enough to tell")
	for args, want := range map[string]string{
		"":                                errUsage.Error(),
		"a b":                             errUsage.Error(),
		"-workers 0 a":                    errUsage.Error(),
		"-nosuch a":                       errUsage.Error(),
		"search":                          errUsage.Error(),
		"-db " + db + " " + dir + "/no":   "no such file",
		"-db " + db + " " + newer:         "is not a folder",
		"-db " + newer + " " + dir:        "version 7",
		"-db " + dir + "/other.db " + dir: "not a database",
		"search -db " + dir + "/no.db w":  "index a folder first",
	} {
		_, err := run(t, strings.Fields(args)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("index %s: %v, want %q", args, err, want)
		}
	}
	if _, err := os.Stat(dir + "/no.db"); err == nil {
		t.Error("search made an index")
	}
	if _, err := run(t, "-h"); exitCode(err) != 0 {
		t.Errorf("-h: %v", err)
	}
}

func TestShownPath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	wd, _ := os.Getwd()
	got := map[string]string{}
	for _, p := range []string{"/elsewhere/a", wd + "/a", wd + "/b/c", filepath.Dir(wd) + "/x"} {
		got[p] = shownPath(p)
	}
	want := maps.Clone(got)
	want["/elsewhere/a"], want[wd+"/a"], want[wd+"/b/c"] = "/elsewhere/a", "a", "b/c"
	want[filepath.Dir(wd)+"/x"] = filepath.Dir(wd) + "/x"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
