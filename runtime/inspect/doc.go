// Package inspect is what an App says of its tasks, contexts and schedules: copies,
// as JSON for tools where they have tags for it.
package inspect
