// Package flow has the recipes of docs/flow.md: tasks that call an API with a quota for
// each customer, post in order for each account, run in a nightly window, index a
// document once after a burst, and leave a poisoned tenant alone.
package flow

//go:generate go tool taskgen
