// Package local holds values that belong to the running task: code with the
// task's context sees them, at any depth, and no other task does.
//
//	var tenant = local.New[string]("tenant", local.InLogs())
//
//	tenant.Set(ctx, "acme")
//	name, err := tenant.Get(ctx)
//
// [Fork] and [Go] give a child values of its own, and [With] opens a scope
// where there is no task.
package local
