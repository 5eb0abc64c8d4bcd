// Package hook is the contract of what is plugged into an App by its Config:
// codecs, propagators and observers. It knows no App.
//
// Middleware and trigger hooks, which get the task's context, are types of the
// package runtime.
package hook
