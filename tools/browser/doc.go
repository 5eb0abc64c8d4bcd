// Package browser has the tests that drive a browser over the pages of
// runtime/web, on all engines, and of River UI over tasks on Postgres. They need
// Chromium, but for the last, and are skipped by name where there is none.
//
//	go test ./... -args -pictures /tmp/pictures
package browser
