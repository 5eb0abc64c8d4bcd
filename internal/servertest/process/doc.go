// Package process tests an engine with worker processes: many of them, killed,
// suspended, and with their server away. A worker process is the test binary
// itself, started again.
package process
