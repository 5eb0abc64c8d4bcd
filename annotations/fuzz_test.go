package annotations_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/taskctx/taskctx/annotations"
)

// Whatever a comment says, parsing it does not panic, every mistake has a place
// in the file, and what is accepted holds only what the grammar allows.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"//task:context", "//task:context queue=a retries=3", "// task:context", "//task: context", "//Task:context",
		"//task:provide worker", "//task:provide", "//task:defaults queue=x", "//task:context \"tag=a:b c\"",
		"//task:context `tag=a:b`x", "//task:context tag=\"a", "//task:context =", "//task:context = a=b=c",
		"//task:context optional=a,,b", "//task:", "//task:context\tqueue=a\u00a0b", "/*task:context*/", "//tasks:context",
		"//task:context name=\xff", "//task:con\u200btext queue=a", "//\u200btask:context", "//task:context \"tag=a:\u200d\" queue=a\u200b",
		"//task:context delay=1h1m1s backoff=1e3 priority=3 unique=1s",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, comment string) {
		if strings.ContainsAny(comment, "\n\r\x00") {
			t.Skip("more than a line")
		}
		for _, src := range []string{
			"package p\n\n" + comment + "\nfunc F() {}\n",
			"package p\n\n" + comment + "\ntype T struct {\n" + comment + "\nA int }\n",
			comment + "\npackage p\n\nfunc G() {\n" + comment + "\n}\n" + comment,
		} {
			fset := token.NewFileSet()
			file, _ := parser.ParseFile(fset, "p.go", src, parser.ParseComments|parser.SkipObjectResolution)
			if file == nil {
				continue
			}
			checkParsed(t, file, src)
		}
	})
}

func checkParsed(t *testing.T, file *ast.File, src string) {
	t.Helper()
	found, errs := annotations.Parse(file)
	for _, e := range errs {
		if e.Msg == "" || e.Code == "" {
			t.Errorf("an empty error: %+v", e)
		}
		if e.Pos < file.FileStart || e.Pos > file.FileEnd || e.End < e.Pos {
			t.Errorf("the error %v is at %d to %d, outside of %q", e, e.Pos, e.End, src)
		}
	}
	for _, d := range found {
		if d.Func == nil && d.Type == nil && d.On != annotations.OnPackage {
			t.Errorf("%s stands on nothing", d.Verb)
		}
		for _, a := range d.Args {
			if a.Value == "" || a.Pos > a.ValuePos || a.ValuePos >= a.End {
				t.Errorf("the key %+v", a)
			}
			switch a.Kind {
			case annotations.KindDuration, annotations.KindPeriod:
				if a.Duration() < 0 || a.Kind == annotations.KindPeriod && a.Duration() == 0 {
					t.Errorf("%s=%s is accepted", a.Name, a.Value)
				}
			case annotations.KindFactor:
				if !(a.Factor() >= 1) {
					t.Errorf("%s=%s is accepted", a.Name, a.Value)
				}
			case annotations.KindLimit:
				if a.Count() < 1 {
					t.Errorf("%s=%s is accepted", a.Name, a.Value)
				}
			case annotations.KindLimitBy:
				if it, n := a.LimitBy(); n < 1 || !token.IsIdentifier(it.Name) || it.Pos < a.Pos || it.End > a.End {
					t.Errorf("%s=%s is accepted: %+v, %d", a.Name, a.Value, it, n)
				}
			case annotations.KindRate:
				if n, per := a.Rate(); n < 1 || n > annotations.MaxRate || per <= 0 {
					t.Errorf("%s=%s is accepted: %d in %v", a.Name, a.Value, n, per)
				}
			case annotations.KindRateBy:
				if it, n, per := a.RateBy(); n < 1 || per <= 0 || !token.IsIdentifier(it.Name) || it.Pos < a.Pos || it.End > a.End {
					t.Errorf("%s=%s is accepted: %+v, %d in %v", a.Name, a.Value, it, n, per)
				}
			case annotations.KindIdents:
				for _, it := range a.Items() {
					if !token.IsIdentifier(it.Name) || it.Pos < a.Pos || it.End > a.End {
						t.Errorf("the item %+v of %+v", it, a)
					}
				}
			}
		}
	}
}

// A tag of a field says one thing at most.
func FuzzParseField(f *testing.F) {
	for _, s := range []string{`task:"supply"`, `task:"by=x"`, `json:"a" task:"-"`, `task: "supply"`, "task:supply", `task:"`, ``} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		field, msg, _ := annotations.ParseField(tag)
		n := 0
		for _, b := range []bool{field.Skip, field.Supply, field.By != ""} {
			if b {
				n++
			}
		}
		if n > 1 || msg != "" && n > 0 {
			t.Errorf("%q gives %+v and %q", tag, field, msg)
		}
		if field.By != "" && !token.IsIdentifier(field.By) {
			t.Errorf("%q names the provider %q", tag, field.By)
		}
	})
}
