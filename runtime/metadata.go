package runtime

import "github.com/taskctx/taskctx/runtime/inspect"

func (r *run) metadata() inspect.Metadata { return r.metadataWith(r.app.tagsOf(r.msg)) }

func (r *run) metadataWith(tags map[string]string) inspect.Metadata {
	deadline, _ := r.life.Deadline()
	return inspect.Metadata{
		TaskID: r.id(), Name: r.msg.Name, Func: r.reg.def.Func, Queue: r.msg.Queue,
		Attempt: r.d.Attempt, MaxRetries: r.retries(), EnqueuedAt: r.msg.Meta.EnqueuedAt,
		Tags: inspect.TagsOver(tags), ParentID: r.msg.Meta.Parent, RootID: r.rootID(), Deadline: deadline,
	}
}
