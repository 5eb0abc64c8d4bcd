package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// operation is one entry of the API, as api/openapi.json describes it.
type operation struct {
	method, path string // as http.ServeMux takes them
	action       Action
	summary      string
	in, out      reflect.Type
}

// apiError is the body of an answer that is an error.
type apiError struct {
	Error string `json:"error"`
}

// endpoint adds an operation. The fields of In are read from the path, the query
// and, of a POST request, the body, as their tags say.
func endpoint[In, Out any](h *handler, op operation, do func(q *request, in *In) (Out, error)) {
	op.in, op.out = reflect.TypeFor[In](), reflect.TypeFor[Out]()
	h.api = append(h.api, op)
	h.mux.HandleFunc(op.method+" "+op.path, func(_ http.ResponseWriter, r *http.Request) {
		q := requestOf(r)
		out, err := q.run(op.action, func() (any, error) {
			in := new(In)
			if err := q.decode(in); err != nil {
				return nil, err
			}
			return do(q, in)
		})
		if err != nil {
			q.fail(err)
			return
		}
		q.writeJSON(http.StatusOK, out)
	})
}

// run calls do if whoever asks may do the action, and returns the refusal if not.
func (q *request) run(a Action, do func() (any, error)) (any, error) {
	if err := q.h.allow(q.Request, a); err != nil {
		if a != View {
			q.h.audit(q.Request, a, err, "path", clean(q.URL.Path, maxLine))
		}
		return nil, err
	}
	return do()
}

func (q *request) writeJSON(code int, v any) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		b.Reset()
		code = http.StatusInternalServerError
		_ = json.NewEncoder(&b).Encode(apiError{Error: "the answer cannot be written as JSON: " + err.Error()}) // a string can
	}
	q.answer(code, "application/json", b.Bytes())
}

// decode fills in, a pointer to a struct, from the request. A parameter that is
// not known is an error: a misspelt filter would select everything.
func (q *request) decode(in any) error {
	v := reflect.ValueOf(in).Elem()
	if q.Method == http.MethodPost {
		if err := q.decodeBody(in, v.Type()); err != nil {
			return err
		}
	}
	known := make(map[string]bool)
	values := q.URL.Query()
	for _, f := range reflect.VisibleFields(v.Type()) {
		if name, ok := f.Tag.Lookup("path"); ok {
			if err := setValue(v.FieldByIndex(f.Index), name, []string{q.PathValue(name)}); err != nil {
				return notFound("there is no %s %q", name, clean(q.PathValue(name), maxName))
			}
		}
		if name, ok := f.Tag.Lookup("query"); ok && q.Method == http.MethodGet {
			known[name] = true
			if given := values[name]; len(given) > 0 {
				if err := setValue(v.FieldByIndex(f.Index), name, given); err != nil {
					return err
				}
			}
		}
	}
	for name := range values {
		if !known[name] {
			return badRequest("there is no parameter %q", clean(name, maxName))
		}
	}
	return nil
}

func (q *request) decodeBody(in any, t reflect.Type) error {
	if q.ContentLength == 0 || !slices.ContainsFunc(reflect.VisibleFields(t), inBody) {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(q.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &statusError{http.StatusUnsupportedMediaType, "the body must be JSON: set Content-Type: application/json"}
	}
	d := json.NewDecoder(http.MaxBytesReader(q.w, q.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(in)
	if err == nil {
		_, err = d.Token()
		if err == nil {
			err = errors.New("more follows the JSON value")
		} else if errors.Is(err, io.EOF) {
			return nil
		}
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return err
	}
	return badRequest("the body cannot be read: %s", clean(err.Error(), maxLine))
}

// inBody reports whether a field of an input is part of the body.
func inBody(f reflect.StructField) bool {
	return !f.Anonymous && jsonName(f) != ""
}

// jsonName is the key of a field in JSON, empty if it has none.
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "-" || !f.IsExported() {
		return ""
	}
	if name == "" {
		return f.Name
	}
	return name
}

// setValue sets a field from the values of a parameter.
func setValue(v reflect.Value, name string, given []string) error {
	if v.Kind() == reflect.Slice {
		v.Set(reflect.ValueOf(slices.Clone(given)))
		return nil
	}
	if len(given) > 1 {
		return badRequest("parameter %q is there %d times", name, len(given))
	}
	s := given[0]
	wrong := func(what string) error {
		return badRequest("parameter %q is %q, want %s", name, clean(s, maxName), what)
	}
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p = s
	case *bool:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return wrong("true or false")
		}
		*p = b
	case *int:
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return wrong("a number that is not negative")
		}
		*p = n
	case *uuid.UUID:
		id, err := uuid.Parse(s)
		if err != nil {
			return wrong("the id of a task")
		}
		*p = id
	default:
		return fmt.Errorf("parameter %q is of type %s, which no request has", name, v.Type())
	}
	return nil
}

// duration is a time.Duration that JSON writes as text, such as "1m30s".
type duration time.Duration

// UnmarshalText reads what time.ParseDuration does.
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration, such as 1m30s", clean(string(text), maxName))
	}
	*d = duration(v)
	return nil
}
