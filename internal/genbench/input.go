package main

import (
	"bytes"
	"fmt"
	"strings"
)

// input is a package's content for a kind of tool, beside the tasks that all
// packages have. So each tool reads the same declarations and imports, and has
// one thing to generate for each item.
type input struct {
	name     string
	requires []string // modules that its users require
	imports  string   // of the package, beside those of the tasks
	// ownResults gives each task a result of a type of its own.
	ownResults bool
	head       string // declarations before the items, and then those of each:
	item       string // %[1]d is its number
	// A file of its own, named other, with a head and a part for each item.
	other, otherHead, otherItem string
}

var (
	tasks  = input{name: "tasks"}
	ifaces = input{
		name: "interfaces", requires: []string{"github.com/stretchr/testify"},
		item: `
type Iface%[1]d interface {
	Do(ctx context.Context, id string, cents int64, order Order) (string, error)
}
`,
	}
	converters = input{
		name: "converters",
		head: `
type Receipt struct {
	ID    string
	Items map[string][]int
}
`,
		item: `
// goverter:converter
type Convert%[1]d interface {
	Receipt(order Order) Receipt
}
`,
	}
	objects = input{
		name: "objects",
		item: `
// +kubebuilder:object:generate=true
type Object%[1]d struct {
	ID    string
	Note  *string
	Items map[string][]int
}
`,
	}
	injectors = input{
		name: "injectors", requires: []string{"github.com/google/wire"},
		item: `
type Service%[1]d struct {
	DB     *sql.DB
	Client *http.Client
}

func NewService%[1]d(db *sql.DB, client *http.Client) (*Service%[1]d, error) {
	return &Service%[1]d{DB: db, Client: client}, nil
}
`,
		other: "wire.go",
		otherHead: `//go:build wireinject

package %s

import (
	"database/sql"
	"net/http"

	"github.com/google/wire"
)
`,
		otherItem: `
func Inject%[1]d(db *sql.DB, client *http.Client) (*Service%[1]d, error) {
	panic(wire.Build(NewService%[1]d))
}
`,
	}
)

// files returns the files of a package.
func (in input) files(pkg string, items int) map[string]string {
	var a strings.Builder
	fmt.Fprintf(&a, tasksHead, pkg, in.imports)
	a.WriteString(in.head)
	for i := range items {
		fmt.Fprintf(&a, taskItem, i, i%10, i%10+1, in.result(i), in.returned(i))
		if in.ownResults {
			fmt.Fprintf(&a, "\ntype Result%[1]d struct{ ID, Note%[1]d string }\n", i)
		}
		if in.item != "" {
			fmt.Fprintf(&a, in.item, i)
		}
	}
	files := map[string]string{"a.go": a.String()}
	if in.other != "" {
		var b bytes.Buffer
		fmt.Fprintf(&b, in.otherHead, pkg)
		for i := range items {
			fmt.Fprintf(&b, in.otherItem, i)
		}
		files[in.other] = b.String()
	}
	return files
}

// result is the type of the result of a task, and returned what the task returns.
func (in input) result(i int) string {
	if in.ownResults {
		return fmt.Sprintf("Result%d", i)
	}
	return "string"
}

func (in input) returned(i int) string {
	if in.ownResults {
		return in.result(i) + "{ID: order.ID}"
	}
	return "order.ID"
}

const tasksHead = `package %s

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"time"

	"github.com/taskctx/taskctx/runtime"
%s)

type Ctx struct {
	*runtime.Context
	DB     *sql.DB
	Client *http.Client ` + "`task:\"supply\"`" + `
}

//task:provide worker
func openDB(ctx context.Context) (*sql.DB, func() error, error) {
	db, err := sql.Open("none", "")
	if err != nil {
		return nil, nil, err
	}
	return db, db.Close, nil
}

type Order struct {
	ID    string
	At    time.Time
	Items map[string][]int
}
`

const taskItem = `
// Task%[1]d does something with an order.
//
//task:context queue=q%[2]d retries=%[2]d timeout=%[3]ds
func Task%[1]d(ctx *Ctx, id string, cents int64, order Order) (result %[4]s, err error) {
	if cents < 0 {
		return result, fmt.Errorf("task %%s: %%d", id, cents)
	}
	rows, err := ctx.DB.QueryContext(ctx, "SELECT "+id)
	if err != nil {
		return result, err
	}
	defer rows.Close()
	for rows.Next() {
		order.ID += id
	}
	return %[5]s, rows.Err()
}
`
