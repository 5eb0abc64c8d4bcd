// Package comingfrom is the code of the pages docs/coming-from-*.md: for each
// system that people come from, its usual programs, written with taskctx.
package comingfrom

//go:generate go tool taskgen
