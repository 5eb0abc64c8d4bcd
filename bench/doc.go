// Package bench runs the same small work on taskctx and on other in-memory
// libraries. It is a module of its own, so that no user of taskctx downloads
// them.
package bench
