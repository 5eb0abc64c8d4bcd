// Package durable is the code of the page docs/durable-functions.md: tasks that
// wait for other tasks, for people and for time.
package durable

//go:generate go tool taskgen
