package schema

import (
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"strings"

	"github.com/taskctx/taskctx/gen/wiretype"
)

// DefaultSQLSchema is the schema of Postgres that functions are made in.
const DefaultSQLSchema = "taskctx"

// sqlWriter writes functions of Postgres that enqueue tasks.
type sqlWriter struct {
	b      strings.Builder
	schema string
	defs   *defs
}

// writeSQL writes a function for each task that Postgres can enqueue by itself.
func writeSQL(w io.Writer, tasks []task, schema string) error {
	s := &sqlWriter{schema: schema, defs: newDefs()}
	s.b.WriteString(`-- Functions that enqueue tasks, for triggers and for programs in other languages.
-- Written by "taskgen schema -format sql"; run it again when the tasks change, as the
-- owner of the tables. A role that calls them needs USAGE of the schema, INSERT and
-- SELECT on its table river_job, and USAGE of that table's sequence.
BEGIN;

`)
	for i := range tasks {
		s.task(&tasks[i])
	}
	s.b.WriteString("COMMIT;\n")
	_, err := io.WriteString(w, s.b.String())
	return err
}

// why says why Postgres cannot enqueue the task, "" if it can.
func (t *task) why() string {
	switch {
	case t.Limit > 0, len(t.LimitBy) > 0, t.OrderBy != "":
		return "it has limits, whose keys are made where it is enqueued"
	case t.Unique > 0, t.UniqueHold != "":
		return "it is unique, and its key is made where it is enqueued"
	case t.Durable:
		return "it is durable"
	case len(t.params) > 100:
		return "a function has at most 100 parameters"
	}
	return ""
}

func (s *sqlWriter) task(t *task) {
	if why := t.why(); why != "" {
		fmt.Fprintf(&s.b, "-- %s is not here: %s.\n\n", comment(t.Name), why)
		return
	}
	params, args, checks := s.params(t)
	name := s.name(unique(ident("enqueue_"+t.Name), s.defs.taken))
	all := "'{}'::jsonb"
	if len(args) > 0 {
		all = strings.Join(args, "\n\t\t|| ")
	}
	params = append(params, "due timestamptz DEFAULT NULL")
	if hasParam(t, "due") {
		params[len(params)-1] = "due_at timestamptz DEFAULT NULL"
	}
	if about := t.about(); about != "" {
		for line := range strings.SplitSeq(about, "\n") {
			s.b.WriteString("-- " + comment(line) + "\n")
		}
	}
	due := fmt.Sprintf("$%d", len(params))
	queue := t.Queue
	if queue == "" {
		queue = "default"
	}
	fmt.Fprintf(&s.b, `CREATE OR REPLACE FUNCTION %[1]s(
	%[2]s
) RETURNS bigint LANGUAGE plpgsql AS $taskctx$
DECLARE
	job bigint;
BEGIN
%[3]s	INSERT INTO %[4]s.river_job (args, kind, max_attempts, metadata, priority, queue, scheduled_at, state, tags)
	VALUES (
		%[5]s,
		%[6]s, %[7]d, %[8]s, %[9]d, %[10]s,
		coalesce(%[11]s, now()),
		CASE WHEN %[11]s > now() THEN 'scheduled' ELSE 'available' END::%[4]s.river_job_state, '{}')
	RETURNING id INTO job;
	IF %[11]s IS NULL OR %[11]s <= now() THEN
		PERFORM pg_notify(%[12]s, json_build_object('queue', %[10]s)::text);
	END IF;
	RETURN job;
END $taskctx$;

`, name, strings.Join(params, ",\n\t"), strings.Join(checks, ""), quoteIdent(s.schema), all, quote(t.Name), t.Retries+1,
		quote(metadataOf(t)), 4-t.Priority, quote(queue), due, quote(s.schema+".river_insert"))
}

// params are the parameters of the task's function as it declares them, as its body makes
// the arguments of them, and as it checks them.
func (s *sqlWriter) params(t *task) (params, args, checks []string) {
	for i, p := range t.params {
		p.shape = withoutName(p.shape)
		v := fmt.Sprintf("$%d", i+1)
		typ, value := sqlType(p.shape, v)
		decl := quoteIdent(p.label()) + " " + typ
		if p.Optional || i > 0 && strings.Contains(params[i-1], " DEFAULT ") {
			decl += " DEFAULT NULL"
		}
		params = append(params, decl)
		entry := fmt.Sprintf("jsonb_build_object(%s, %s)", quote(p.Key), value)
		if p.Inline {
			entry = value
		}
		if p.Optional {
			entry = fmt.Sprintf("CASE WHEN %s IS NULL THEN '{}'::jsonb ELSE %s END", v, entry)
		}
		args = append(args, entry)
		check := s.check(t.params[i].shape, value)
		if p.Optional {
			check = v + " IS NULL OR " + check
		}
		if more := sqlLimits(p.shape, v); more != "" {
			check = "(" + check + ") AND (" + v + " IS NULL OR " + more + ")"
		}
		checks = append(checks, fmt.Sprintf("\tIF (%s) IS NOT TRUE THEN\n"+
			"\t\tRAISE invalid_parameter_value USING MESSAGE = %s;\n\tEND IF;\n",
			check, quote(fmt.Sprintf("%s: the value of %s is no %s", t.Name, p.label(), p.Sig))))
	}
	return params, args, checks
}

// label is the parameter's name for people and for SQL: its key, or its name where
// it has none.
func (p *param) label() string {
	if p.Inline {
		return p.Name
	}
	return p.Key
}

func hasParam(t *task, key string) bool {
	for _, p := range t.params {
		if p.label() == key {
			return true
		}
	}
	return false
}

// metadataOf returns what package postgres reads of a job beside its columns.
func metadataOf(t *task) string {
	sig, redact := make([]string, len(t.params)), []string(nil)
	for i, p := range t.params {
		sig[i] = p.Key + ":" + p.Sig
		switch {
		case p.Inline:
			redact = p.Secret
		case p.Redact:
			redact = append(redact, p.Key)
		}
	}
	own := object{"v": 1, "sig": strings.Join(sig, " "), "retries": t.Retries}
	if t.Timeout > 0 {
		own["timeout"] = t.Timeout
	}
	if len(redact) > 0 {
		own["redact"] = redact
	}
	if t.Keep > 0 {
		own["keep"] = t.Keep
	}
	if t.KeepFailed > 0 {
		own["keep_failed"] = t.KeepFailed
	}
	if len(t.Tags) > 0 {
		tags := map[string]string{}
		for _, tag := range t.Tags {
			tags[tag.Key] = tag.Value
		}
		own["tags"] = tags
	}
	text, _ := json.Marshal(object{"taskctx": own}) // of strings and numbers
	return string(text)
}

// withoutName returns the shape as that of a parameter.
func withoutName(s *wiretype.Shape) *wiretype.Shape { c := *s; return &c }

// sqlType returns the type of a parameter in SQL, and its value as jsonb.
func sqlType(s *wiretype.Shape, v string) (typ, value string) {
	plain := func(typ string) (string, string) { return typ, "coalesce(to_jsonb(" + v + "), 'null'::jsonb)" }
	if s.Quoted {
		return plain("text")
	}
	switch s.Form {
	case wiretype.FormBool:
		return plain("boolean")
	case wiretype.FormString, wiretype.FormText:
		return plain("text")
	case wiretype.FormUUID:
		return plain("uuid")
	case wiretype.FormInteger:
		switch bits := s.Bits; {
		case bits < 16, bits == 16 && !s.Unsigned:
			return plain("smallint")
		case bits < 32, bits == 32 && !s.Unsigned:
			return plain("integer")
		case bits < 64, !s.Unsigned:
			return plain("bigint")
		}
		return plain("numeric")
	case wiretype.FormBig:
		return plain("numeric")
	case wiretype.FormFloat:
		return plain("double precision")
	case wiretype.FormBytes:
		return "bytea", "coalesce(to_jsonb(translate(encode(" + v + ", 'base64'), E'\\n', '')), 'null'::jsonb)"
	case wiretype.FormTime:
		return "timestamptz", "coalesce(to_jsonb(to_char(" + v + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')), 'null'::jsonb)`
	case wiretype.FormNanos:
		return "interval", "coalesce(to_jsonb((extract(epoch FROM " + v + ") * 1000000000)::bigint), 'null'::jsonb)"
	}
	return "jsonb", "coalesce(" + v + ", 'null'::jsonb)"
}

// sqlLimits says which values of the SQL type have no text that Go reads, "" if all
// have.
func sqlLimits(s *wiretype.Shape, v string) string {
	switch {
	case s.Quoted:
		return ""
	case s.Form == wiretype.FormTime:
		return v + " >= '0001-01-01 00:00:00+00' AND " + v + " < '10000-01-01 00:00:00+00'"
	case s.Form == wiretype.FormNanos: // a month has no length
		return "extract(year FROM " + v + ") = 0 AND extract(month FROM " + v + ") = 0"
	}
	return ""
}

// check returns a condition that jsonb is a value of the shape. What has a name is
// a function, made before.
func (s *sqlWriter) check(shape *wiretype.Shape, e string) string {
	var c string
	if shape.Type == nil {
		c = s.plain(shape, e)
	} else {
		name, first := s.defs.name(shape, func(goName string) string { return ident("is_" + goName) })
		if first {
			body := s.plain(shape, "v")
			fmt.Fprintf(&s.b, "CREATE OR REPLACE FUNCTION %s(v jsonb) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $taskctx$\n"+
				"BEGIN\n\tRETURN %s;\nEND $taskctx$;\n\n", s.name(name), body)
		}
		c = s.name(name) + "(" + e + ")"
	}
	if shape.Null {
		return "(" + e + " = 'null'::jsonb OR " + c + ")"
	}
	return c
}

func (s *sqlWriter) plain(shape *wiretype.Shape, e string) string {
	is := func(typ string) string { return "jsonb_typeof(" + e + ") = '" + typ + "'" }
	if shape.Quoted {
		return is("string")
	}
	switch shape.Form {
	case wiretype.FormBool:
		return is("boolean")
	case wiretype.FormString, wiretype.FormText, wiretype.FormBytes, wiretype.FormTime:
		return is("string")
	case wiretype.FormUUID:
		return "CASE WHEN " + is("string") + " THEN " + e +
			" #>> '{}' ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' ELSE false END"
	case wiretype.FormInteger, wiretype.FormNanos:
		lowest, highest := bounds(shape)
		return fmt.Sprintf("CASE WHEN %s THEN (%[2]s #>> '{}')::numeric BETWEEN %s AND %s "+
			"AND scale((%[2]s #>> '{}')::numeric) = 0 ELSE false END",
			is("number"), e, lowest, highest)
	case wiretype.FormBig:
		return fmt.Sprintf("CASE WHEN %s THEN scale((%s #>> '{}')::numeric) = 0 ELSE false END", is("number"), e)
	case wiretype.FormFloat:
		return is("number")
	case wiretype.FormList:
		return s.list(shape, e, is("array"))
	case wiretype.FormMap:
		return fmt.Sprintf("CASE WHEN %s THEN NOT EXISTS (SELECT FROM jsonb_each(%s) AS m(k, x) WHERE (%s) IS NOT TRUE) ELSE false END",
			is("object"), e, s.check(shape.Elem, "m.x"))
	case wiretype.FormStruct:
		return s.structure(shape, e, is("object"))
	}
	return "true"
}

func (s *sqlWriter) list(shape *wiretype.Shape, e, isArray string) string {
	length := ""
	if shape.Len >= 0 {
		length = fmt.Sprintf("jsonb_array_length(%s) = %d AND ", e, shape.Len)
	}
	return fmt.Sprintf("CASE WHEN %s THEN %sNOT EXISTS ("+
		"SELECT FROM jsonb_array_elements(%s) AS l(x) WHERE (%s) IS NOT TRUE) ELSE false END",
		isArray, length, e, s.check(shape.Elem, "l.x"))
}

func (s *sqlWriter) structure(shape *wiretype.Shape, e, isObject string) string {
	keys, conditions := make([]string, len(shape.Fields)), []string(nil)
	for i, f := range shape.Fields {
		keys[i] = quote(f.Key)
		field := e + " -> " + quote(f.Key)
		c := e + " ? " + quote(f.Key) + " AND (" + s.check(f.Shape, "("+field+")") + ")"
		if f.Optional {
			c = "NOT " + e + " ? " + quote(f.Key) + " OR (" + s.check(f.Shape, "("+field+")") + ")"
		}
		conditions = append(conditions, "("+c+")")
	}
	only := fmt.Sprintf("%s - ARRAY[%s]::text[] = '{}'::jsonb", e, strings.Join(keys, ", "))
	return "CASE WHEN " + isObject + " THEN " + strings.Join(append(conditions, only), " AND ") + " ELSE false END"
}

// bounds returns the least and the greatest value of an integer.
func bounds(s *wiretype.Shape) (lowest, highest *big.Int) {
	lowest, highest = big.NewInt(0), new(big.Int).Lsh(big.NewInt(1), uint(s.Bits))
	if !s.Unsigned {
		highest.Rsh(highest, 1)
		lowest.Neg(highest)
	}
	return lowest, highest.Sub(highest, big.NewInt(1))
}

// maxIdent is how many bytes of a name Postgres keeps, with some for a number that
// makes it unique.
const maxIdent = 60

// name returns the name of a function, in its schema.
func (s *sqlWriter) name(of string) string { return quoteIdent(s.schema) + "." + quoteIdent(of) }

// ident makes a name that needs no quotes in SQL.
func ident(of string) string {
	name := strings.Trim(strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, of), "_")
	return strings.ToLower(name[:min(len(name), maxIdent)])
}

func quote(text string) string {
	if strings.ContainsRune(text, '\\') {
		return "E'" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(text) + "'"
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

func quoteIdent(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// comment keeps text within its line.
func comment(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
