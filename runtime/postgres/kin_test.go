package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/postgres"
	"github.com/taskctx/taskctx/runtime/wire"
)

// TestChildren_StoredAsVersionsBefore: whose child a job is stands in one text within its
// metadata, and the numbers and texts of versions before are read as well: by lists, by the
// end of a run, and by that of a task that does not run.
func TestChildren_StoredAsVersionsBefore(t *testing.T) {
	app, pool, schema := newApp(t, runtime.Config{Workers: 2, Queues: []string{"parents"}}, postgres.Config{})
	parent := glue.NewTask[struct{}, string](
		wire.Spec{Name: "press.Parent", Func: "Parent", Queue: "parents", Durable: true}, func(*struct{}, *wire.Fields) {})
	child := glue.NewTask[echoArgs, json.RawMessage](wire.Spec{
		Name: "press.Child", Func: "Child", Queue: "children", Params: []wire.Param{{Name: "v", Sig: "json"}},
	}, (*echoArgs).fields)
	glue.Register(app, parent, func(ctx *runtime.Context, _ *struct{}) (string, error) {
		var fs []*runtime.Future[json.RawMessage]
		for i := range 4 {
			fs = append(fs, runtime.Spawn(ctx, fmt.Sprint("page ", i), child.Call((&echoArgs{json.RawMessage(fmt.Sprint(i))}).fields, nil)))
		}
		ends, err := runtime.AwaitEnds(ctx, fs...)
		if err != nil {
			return "", err
		}
		said := ""
		for _, e := range ends {
			if failed, ok := errors.AsType[*runtime.TaskError](e.Err); ok {
				said += string(failed.State) + " "
				continue
			}
			said += string(e.Result) + " "
		}
		return said, nil
	})
	glue.Register(app, child, func(_ context.Context, a *echoArgs) (json.RawMessage, error) { return a.v, nil })
	start(t, app)
	h, err := parent.Call(func(*wire.Fields) {}, nil).Enqueue(t.Context(), app)
	require.NoError(t, err)
	var children []*runtime.Record
	require.Eventually(t, func() bool {
		children, _, err = app.List(t.Context(), engine.Query{Parent: h.ID()})
		return err == nil && len(children) == 4
	}, time.Minute, time.Millisecond)

	jobs := schema + ".river_job"
	var texts int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM "+jobs+` WHERE kind = 'press.Child'
		AND metadata #>> '{taskctx,kin}' LIKE '% page _' AND NOT metadata -> 'taskctx' ?| ARRAY['of', 'entry', 'parent', 'root']
		AND (metadata #>> '{taskctx,v}')::int > $1`, engine.WireVersion).Scan(&texts))
	assert.Equal(t, 4, texts, "workers of before, who do not read the text, park them")
	_, err = pool.Exec(t.Context(), "UPDATE "+jobs+` SET metadata = jsonb_set(metadata, '{taskctx}',
		(metadata -> 'taskctx') - 'kin' || jsonb_build_object('v', 2, 'parent', $1::text, 'root', $1::text,
			'of', split_part(metadata #>> '{taskctx,kin}', ' ', 1)::bigint,
			'entry', substr(metadata #>> '{taskctx,kin}', strpos(metadata #>> '{taskctx,kin}', ' ') + 1)))
		WHERE metadata #>> '{taskctx,kin}' LIKE '% page 0' OR metadata #>> '{taskctx,kin}' LIKE '% page 3'`, h.ID().String())
	require.NoError(t, err)
	for _, q := range []engine.Query{{Parent: h.ID()}, {Root: h.ID()}} {
		after, _, err := app.List(t.Context(), q)
		require.NoError(t, err)
		require.Len(t, after, len(children))
		for i, r := range after {
			assert.Equal(t, children[i].ParentID, r.ParentID)
			assert.Equal(t, h.ID(), r.ParentID)
			assert.Equal(t, h.ID(), r.RootID)
		}
	}

	js, err := app.Journal(t.Context(), h.ID())
	require.NoError(t, err)
	for _, j := range js {
		if j.Name == "page 2" || j.Name == "page 3" {
			require.NoError(t, app.Cancel(t.Context(), j.Child, "enough"))
		}
	}
	worker := runtime.New(app.Engine(), runtime.Config{Workers: 2, Queues: []string{"children"}, Logger: testLog(t)})
	glue.Register(worker, child, func(_ context.Context, a *echoArgs) (json.RawMessage, error) { return a.v, nil })
	start(t, worker)
	t.Cleanup(func() { assert.NoError(t, worker.Stop(context.Background())) })
	said, err := h.Wait(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "0 1 cancelled cancelled ", said)
}

// TestList_SpawnedByParentAndRoot: children with an entry in a journal are listed by their
// parent and by the first of their ancestors.
func TestList_SpawnedByParentAndRoot(t *testing.T) {
	n := newNeighbours(t)
	under := func(parent, root uuid.UUID) uuid.UUID {
		m := benchMessage()
		m.Meta.Parent, m.Meta.Root = parent, root
		if parent != uuid.Nil {
			m.Meta.Version, m.Meta.Entry = engine.WireDurable, "one two"
		}
		ins, err := n.e.Insert(t.Context(), []*engine.Message{m})
		require.NoError(t, err)
		return ins[0].ID
	}
	root := under(uuid.Nil, uuid.Nil)
	child := under(root, root)
	grandchild := under(child, root)
	elsewhere := uuid.New()
	foreign := under(elsewhere, elsewhere)
	for _, l := range []struct {
		q    engine.Query
		want []uuid.UUID
	}{
		{engine.Query{Parent: root}, []uuid.UUID{child}},
		{engine.Query{Parent: child}, []uuid.UUID{grandchild}},
		{engine.Query{Root: root}, []uuid.UUID{child, grandchild}},
		{engine.Query{Root: child}, nil},
		{engine.Query{Parent: elsewhere}, []uuid.UUID{foreign}},
		{engine.Query{Root: elsewhere}, []uuid.UUID{foreign}},
	} {
		got, _, err := n.e.List(t.Context(), l.q)
		require.NoError(t, err)
		var ids []uuid.UUID
		for _, e := range got {
			ids = append(ids, e.ID)
			assert.Equal(t, "one two", e.Message.Meta.Entry)
			assert.EqualValues(t, engine.WireDurable, e.Message.Meta.Version)
		}
		assert.ElementsMatch(t, l.want, ids)
	}
}
