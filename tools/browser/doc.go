// Package browser has the tests that drive a browser over the pages of
// runtime/web, on all engines. They need Chromium, and are skipped by name where
// there is none.
//
//	go test ./... -args -pictures /tmp/pictures
package browser
