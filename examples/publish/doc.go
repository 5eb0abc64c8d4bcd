// Publish makes a web site of the documentation of Go packages, by one durable task:
//
//	go run ./examples/publish "$(go env GOROOT)/src/encoding"
//
// It renders each package in a task of its own, shows the site before it is public,
// waits until somebody approves it in the browser, and for a time after that, and
// then puts it into its place. Kill it whenever you like, or let it kill itself with
// -crash 5: the same command goes on where it stopped.
package main

//go:generate go tool taskgen
